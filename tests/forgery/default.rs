fn main() {
    let _: tallybox::consent::Grant = Default::default();
}
