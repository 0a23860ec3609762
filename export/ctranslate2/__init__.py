"""Import of translators in the format of CTranslate2, such as Argos packages."""
