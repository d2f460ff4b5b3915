fn main() {
    let _: consent::Grant = Default::default();
}
