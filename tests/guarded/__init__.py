"""The complete platform with a token: access, and requests generated from its OpenAPI document."""
