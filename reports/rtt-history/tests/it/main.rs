//! The program on logs that a generator wrote, in a folder of each test's own.

mod comparing;
mod exporting;
mod lab;
mod tables;
