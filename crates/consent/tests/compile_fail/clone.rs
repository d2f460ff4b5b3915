use consent::Grant;

fn twice(grant: Grant) -> (Grant, Grant) {
    (grant.clone(), grant)
}

fn main() {}
