"""What both sides agree on: contract, states, keys, settings, errors, broker, storage, ledger.

Imports neither producer nor worker, and never torch.
"""
