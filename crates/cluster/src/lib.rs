//! What operators hold: definitions, locks, keystores, deposits, ENRs
