"""Translation of files of any number of lines, by the engine without HTTP."""
