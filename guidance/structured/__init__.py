"""Structured text as exact constraints: `JSONSchema`, `Grammar`, `Choice`.

A schema or grammar becomes one `Language` over characters, and with it the same automata over tokens that `Regex` uses:

* net: languages glued together and determinised once.
* json_strings, json_numbers, json_formats: the texts of scalar values; json_literals: those of given values.
* schema_reading checks a schema and finds what it refers to, schema_negation says the opposite of one, schema_language puts
  the keywords together, schema_objects and schema_arrays build the two containers.
* ebnf reads Lark's and llguidance's form of grammars.
* spanwise: rules about single spans of a canvas.
"""
