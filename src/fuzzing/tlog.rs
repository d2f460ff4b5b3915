//! Checkpoints, cosignatures and proofs, held against a tree that is computed as RFC 6962 writes it down.

use tlog::{
    Checkpoint, CompactRange, GrowthFile, Hash, MAX_PROOF_BYTES, MAX_PROOF_HASHES, ProofFile, SignedCheckpoint,
    leaf_hash, node_hash, verify_consistency, verify_inclusion,
};

use super::input::Input;
use super::notes::signer;
use super::oracle::assert_told;

/// Most leaves of a tree that is computed.
const MAX_LEAVES: usize = 40;

/// Any bytes as a checkpoint, and what a witness adds to it.
pub(super) fn checkpoint(bytes: &[u8]) {
    let signed = match SignedCheckpoint::parse(bytes) {
        Ok(signed) => signed,
        Err(error) => return assert_told(&error.to_string()),
    };
    assert_eq!(signed.to_string().as_bytes(), bytes);
    let text = signed.unverified().to_string();
    assert_eq!(Checkpoint::parse(&text).as_ref(), Ok(signed.unverified()));
    let (log, witness) = (signer(0), signer(1));
    match signed.verify(&log.verifier_key()) {
        Ok(checkpoint) => assert_eq!(checkpoint.origin, log.verifier_key().name()),
        Err(error) => assert_told(&error.to_string()),
    }
    if let Ok(cosigned) = signed.cosign(&witness, 1_790_000_000) {
        assert_eq!(cosigned.cosigned_at(&witness.verifier_key()), Ok(Some(1_790_000_000)));
        assert_eq!(cosigned.verify(&log.verifier_key()).is_ok(), signed.verify(&log.verifier_key()).is_ok());
    }
    // Nobody else has this witness's key: what it is said to have signed it did not, unless the corpus has it.
    if let Err(error) = signed.cosigned_at(&witness.verifier_key()) {
        assert_told(&error.to_string());
    }
}

/// Any bytes as a proof.
pub(super) fn proof(bytes: &[u8]) {
    let key = signer(0).verifier_key();
    match ProofFile::parse(bytes) {
        Ok(proof) => {
            assert_eq!(proof.to_string().as_bytes(), bytes);
            assert!(bytes.len() <= MAX_PROOF_BYTES && proof.hashes.len() <= MAX_PROOF_HASHES);
            if let Err(error) = proof.verify(proof.extra.as_deref().unwrap_or_default(), &key) {
                assert_told(&error.to_string());
            }
        }
        Err(error) => assert_told(&error.to_string()),
    }
    match GrowthFile::parse(bytes) {
        Ok(growth) => {
            assert_eq!(growth.to_string().as_bytes(), bytes);
            let old = Checkpoint::new(key.name(), &CompactRange::default());
            if let Err(error) = growth.verify(&old, &key) {
                assert_told(&error.to_string());
            }
        }
        Err(error) => assert_told(&error.to_string()),
    }
}

/// The largest power of two below `size` (RFC 6962, section 2.1).
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(root(left), root(right))
        }
    }
}

/// RFC 6962, section 2.1.1.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) =
        if index < at { (path(index, left), root(right)) } else { (path(index - at, right), root(left)) };
    path.push(sibling);
    path
}

/// RFC 6962, section 2.1.2. `is_old`: the left part is the older tree as a whole.
fn growth(old: usize, leaves: &[Hash], is_old: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if is_old { Vec::new() } else { vec![root(leaves)] };
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut proof, sibling) =
        if old <= at { (growth(old, left, is_old), root(right)) } else { (growth(old - at, right, false), root(left)) };
    proof.push(sibling);
    proof
}

/// One change of a proof, or none.
fn change(input: &mut Input<'_>, proof: &mut Vec<Hash>) {
    let (what, at) = (input.byte(), usize::from(input.byte()));
    match what % 6 {
        1 => drop(proof.pop()),
        2 => proof.push(leaf_hash(input.part())),
        3 if !proof.is_empty() => {
            let at = at % proof.len();
            proof[at].0[usize::from(input.byte()) % 32] ^= 1;
        }
        4 if proof.len() > 1 => proof.swap(0, 1),
        5 => proof.clear(),
        _ => {}
    }
}

/// A proof, right or changed: it proves something exactly where it is the one that RFC 6962 has.
pub(super) fn merkle(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let size = 1 + usize::from(input.byte()) % MAX_LEAVES;
    let leaves: Vec<Hash> = (0..size).map(|number| leaf_hash(&[u8::try_from(number).unwrap_or_default()])).collect();
    let mut tree = CompactRange::default();
    for leaf in &leaves {
        tree.append(*leaf);
    }
    assert_eq!(tree.root(), root(&leaves));
    let hashes = tree.hashes().to_vec();
    assert_eq!(CompactRange::new(size as u64, hashes).map(|tree| tree.root()), Some(tree.root()));

    let index = usize::from(input.byte()) % size;
    let right = path(index, &leaves);
    let mut tried = right.clone();
    change(&mut input, &mut tried);
    let leaf = if input.byte() % 8 == 7 { leaf_hash(b"another") } else { leaves[index] };
    let claimed = if input.byte() % 4 == 3 { u64::from(input.byte()) } else { index as u64 };
    let verdict = verify_inclusion(leaf, claimed, size as u64, &tried, tree.root());
    let is_right = tried == right && leaf == leaves[index] && claimed == index as u64;
    assert_eq!(verdict.is_ok(), is_right, "{verdict:?}");

    let old = 1 + usize::from(input.byte()) % size;
    let right = growth(old, &leaves, true);
    let mut tried = right.clone();
    change(&mut input, &mut tried);
    let old_root = if input.byte() % 8 == 7 { leaf_hash(b"another") } else { root(&leaves[..old]) };
    let verdict = verify_consistency((old as u64, old_root), (size as u64, tree.root()), &tried);
    assert_eq!(verdict.is_ok(), tried == right && old_root == root(&leaves[..old]), "{verdict:?}");
    if let Err(error) = verdict {
        assert_told(&error.to_string());
    }
}
