//! A grant cannot be made, copied or defaulted outside the consent module: each attempt has to fail to compile.

#[test]
fn a_grant_cannot_be_forged() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
