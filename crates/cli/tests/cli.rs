//! Commands with their exact output and exit codes.
//!
//! `tests/cmd` has one file per command: a list of `$ tunnel-balancer …` with the expected output.
//! `TRYCMD=overwrite cargo test -p tunnel-balancer --test cli` rewrites them; read the diff before
//! you commit it.

#[test]
fn commands_print_the_expected_output() {
    let cases = trycmd::TestCases::new();
    // A release changes the version, and no expected output.
    cases.insert_var("[VERSION]", env!("CARGO_PKG_VERSION")).unwrap();
    cases.case("tests/cmd/*.trycmd");
}
