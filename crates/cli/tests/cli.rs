//! The command line as its users see it: what they type, what is printed, how it ends.
//!
//! One file per command in `tests/cmd`, each a list of `$ tunnel-balancer …` with the output that
//! is expected, to the letter. `TRYCMD=overwrite cargo test -p tunnel-balancer --test cli` writes
//! them anew; read the difference before you commit it.

#[test]
fn commands_print_what_is_written_down() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
