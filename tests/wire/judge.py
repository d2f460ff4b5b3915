"""Judges values by JSON schemas (draft 7) with Debian's python3-jsonschema: a judge that is not ours.

As a program it reads lines of JSON, `{"schema": …, "value": …}`, and answers each with the list of what is wrong.
"""
import datetime
import json
import sys

import jsonschema

FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_time(value):
    """RFC 3339 in UTC."""
    if isinstance(value, str):
        whole, _, fraction = value.removesuffix("Z").partition(".")
        datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S")
        return value.endswith("Z") and (fraction == "" or fraction.isdigit())
    return True


def judge(schema):
    """What finds a value's mistakes."""
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema, format_checker=FORMATS)
    return lambda value: [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(judge(asked["schema"])(asked["value"])))
