//! What masters and replicas say on a TCP link: the PSYNC grammar.
