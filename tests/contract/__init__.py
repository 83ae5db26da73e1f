"""Tests of docs/contract.md, rule by rule, over HTTP against the complete running platform."""
