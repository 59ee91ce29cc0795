"""Checks Kubernetes resources, YAML on standard input, against Kubernetes' own schemas and
Strimzi's. What no schema knows is an error, as a misspelt member is.

    python3 validate.py VERSION-OF-KUBERNETES < resources.yaml

strimzi.json has the specifications of Strimzi 1.2.0's custom resources without their
descriptions (packaging/install/cluster-operator in its repository, Apache License 2.0)."""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml


def strict(schema):
    """Members that the schema doesn't name are refused, as the API server warns of them."""
    if isinstance(schema, dict):
        schema = {key: strict(value) for key, value in schema.items()}
        if "properties" in schema and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema["additionalProperties"] = False
        if schema.pop("x-kubernetes-int-or-string", False):
            schema["type"] = ["integer", "string"]
    elif isinstance(schema, list):
        schema = [strict(value) for value in schema]
    return schema


def custom(resource, schemas):
    schema = schemas.get(f"{resource['apiVersion']}/{resource['kind']}")
    if schema is None:
        raise ValueError("no schema is known")
    schema = strict(schema)
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
    jsonschema.Draft7Validator(schema).validate(resource)


def main():
    schemas = json.loads((pathlib.Path(__file__).parent / "strimzi.json").read_text())
    checked, wrong = 0, 0
    for resource in yaml.safe_load_all(sys.stdin):
        name = f"{resource['kind']} {resource['metadata']['name']}"
        try:
            if "strimzi.io/" in resource["apiVersion"]:
                custom(resource, schemas)
            else:
                kubernetes_validate.validate(resource, sys.argv[1], strict=True)
            checked += 1
        except Exception as e:
            wrong += 1
            message = getattr(e, "message", str(e))
            print(f"{name}: {'/'.join(str(p) for p in getattr(e, 'absolute_path', []))}: {message}", file=sys.stderr)
    print(checked)
    sys.exit(1 if wrong or not checked else 0)


main()
