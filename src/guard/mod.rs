//! The role that holds button, lamp, consent, ledger and policy.
