"""The Swagger document of LibreTranslate's dialect, at /spec: clients recognise a server by its title."""

from typing import Any

API_KEY = ("api_key", False, "API key")
LANGUAGES = [("source", True, "Source language code, or auto"), ("target", True, "Target language code")]
TEXT = ("q", True, "Text")
# Method, path, summary, and the fields of the form: name, whether it is required, and description.
OPERATIONS = [
    ("get", "/languages", "Retrieve the supported languages", []),
    (
        "post", "/translate", "Translate a text, or a list of texts",
        [
            TEXT, *LANGUAGES, ("format", False, "text or html"),
            ("alternatives", False, "Number of alternative translations"), API_KEY,
        ],
    ),
    ("post", "/detect", "Detect the language of a text", [TEXT, API_KEY]),
    ("post", "/translate_file", "Translate a file", [("file", True, "File to translate"), *LANGUAGES, API_KEY]),
    ("get", "/frontend/settings", "Retrieve the settings of a web page", []),
    ("get", "/health", "Check that the service answers", []),
]  # fmt: skip


def swagger_document(version: str) -> dict[str, Any]:
    """Return the document; `version` is that of the service."""
    paths: dict[str, Any] = {}
    for method, path, summary, fields in OPERATIONS:
        parameters = [
            {
                "in": "formData", "name": name, "type": "file" if name == "file" else "string", "required": required,
                "description": description,
            }
            for name, required, description in fields
        ]  # fmt: skip
        operation: dict[str, Any] = {"summary": summary, "parameters": parameters}
        if parameters:
            operation["consumes"] = ["multipart/form-data"]
        paths.setdefault(path, {})[method] = operation | {"responses": {"200": {"description": "Success"}}}
    return {
        "swagger": "2.0",
        "info": {"title": "LibreTranslate", "version": version, "description": "Served by Attendant: see /docs"},
        "basePath": "/",
        "paths": paths,
    }
