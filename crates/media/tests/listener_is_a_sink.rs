//! A listener cannot be heard, by construction: programs that try do not compile.

#[test]
fn a_listener_leg_is_a_sink_by_type() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
