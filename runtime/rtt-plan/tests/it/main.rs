//! Plans as a host meets them: sealed, asked about, refused.
