//! Plans as a host meets them: read strictly, sealed, asked about, refused, told in words.

mod admission;
mod attacks;
mod bench;
mod document;
mod words;
