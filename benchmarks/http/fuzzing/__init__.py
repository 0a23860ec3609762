"""The requests and the client of the fuzzer, benchmarks/http/fuzz.py."""
