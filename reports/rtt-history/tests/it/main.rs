//! The program on logs that a generator wrote, in a folder of each test's own.

mod appending;
mod comparing;
mod exporting;
mod keeping;
mod lab;
mod tables;
mod trending;
