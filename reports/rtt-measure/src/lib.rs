//! One measured trial, its append log, the problem protocol and the e-process.
