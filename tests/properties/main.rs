//! What must hold for every path, script and clock, tried on random ones. A failure prints the
//! smallest case found.

mod addressing;
mod anything;
mod choice;
mod exchange;
mod interleaved;
mod probing;
mod snapshots;
mod subrequests;
mod yaml;
