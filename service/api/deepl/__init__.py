"""DeepL's dialect: texts, languages, glossaries, usage; documents are in `service.api.documents`.

Source: the OpenAPI document of DeepLcom/openapi 3, DeepLcom/deepl-mock 1.21, and the requests of the official client,
deepl 1.32.
"""
