"""docs/contract.md, rule by rule, over HTTP against the whole running platform."""
