//! File formats: text in, values out, one format per file.

pub mod merge;
