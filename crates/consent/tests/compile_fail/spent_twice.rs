use consent::Grant;

fn twice(grant: Grant) {
    let _ = grant.spend();
    let _ = grant.spend();
}

fn main() {}
