//! Held against published vectors, against another implementation, and against whoever changes a byte.

use proptest::prelude::*;
use tlog_tiles::tlog as other;

use super::*;
use notes::SignerKey;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|number| leaf_hash(format!("entry {number}").as_bytes())).collect()
}

fn tree(leaves: &[Hash]) -> CompactRange {
    let mut tree = CompactRange::default();
    for leaf in leaves {
        tree.append(*leaf);
    }
    tree
}

fn proved(mut prover: Prover, leaves: &[Hash], pruned: usize) -> Vec<Hash> {
    prover.skip(&tree(&leaves[..pruned]));
    for leaf in &leaves[pruned..] {
        prover.append(*leaf);
    }
    prover.finish().unwrap()
}

fn hex(text: &str) -> Hash {
    Hash(std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()))
}

/// The test vectors of certificate-transparency (`merkle_tree_test.cc`), by RFC 6962's authors: all eight roots, and
/// the paths and proofs that are in it.
#[test]
fn roots_and_proofs_are_those_of_the_published_vectors() {
    let entries: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves = entries.map(leaf_hash);
    assert_eq!(tree(&[]).root(), hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    for (size, root) in (1..).zip(roots) {
        assert_eq!(tree(&leaves[..size]).root(), hex(root), "{size}");
    }
    let path = proved(Prover::of_inclusion(5, 8).unwrap(), &leaves, 0);
    let wanted = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(path, wanted.map(hex));
    let proof = proved(Prover::of_consistency(6, 8).unwrap(), &leaves, 0);
    let wanted = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(proof, wanted.map(hex));
}

struct Stored(Vec<other::Hash>);

impl other::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<other::Hash>, other::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

/// Every proof in every tree of up to 70 entries, pruned anywhere before what it needs, is exactly the one that
/// `tlog_tiles` makes, and each of the two implementations takes the other's.
#[test]
fn another_implementation_makes_and_takes_the_same_proofs() {
    const MOST: u64 = 70;
    let leaves = leaves(MOST);
    let mut stored = Stored(Vec::new());
    for number in 0..MOST {
        let more = other::stored_hashes(number, format!("entry {number}").as_bytes(), &stored).unwrap();
        stored.0.extend(more);
    }
    let theirs = |hashes: &[Hash]| hashes.iter().map(|hash| other::Hash(hash.0)).collect::<Vec<_>>();
    for size in 1..=MOST {
        let (length, root) = (usize::try_from(size).unwrap(), other::tree_hash(size, &stored).unwrap());
        let own = tree(&leaves[..length]).root();
        assert_eq!(own.0, root.0);
        for index in 0..size {
            let (at, leaf) = (usize::try_from(index).unwrap(), leaves[usize::try_from(index).unwrap()]);
            let proof = proved(Prover::of_inclusion(index, size).unwrap(), &leaves[..length], at);
            assert_eq!(theirs(&proof), other::prove_record(size, index, &stored).unwrap());
            other::check_record(&theirs(&proof), size, root, index, other::Hash(leaf.0)).unwrap();
            verify_inclusion(leaf, index, size, &proof, own).unwrap();
            let old = index + 1;
            let old_root = tree(&leaves[..=at]).root();
            let proof = proved(Prover::of_consistency(old, size).unwrap(), &leaves[..length], at + 1);
            assert_eq!(theirs(&proof), other::prove_tree(size, old, &stored).unwrap());
            other::check_tree(&theirs(&proof), size, root, old, other::Hash(old_root.0)).unwrap();
            verify_consistency((old, old_root), (size, own), &proof).unwrap();
        }
    }
}

/// A log that was pruned has no proof for what went.
#[test]
fn what_was_pruned_cannot_be_proved() {
    let leaves = leaves(20);
    for index in 0..8 {
        let mut prover = Prover::of_inclusion(index, 20).unwrap();
        prover.skip(&tree(&leaves[..8]));
        for leaf in &leaves[8..] {
            prover.append(*leaf);
        }
        assert_eq!(prover.finish(), None, "{index}");
    }
    let mut short = Prover::of_inclusion(3, 20).unwrap();
    for leaf in &leaves[..19] {
        short.append(*leaf);
    }
    assert_eq!(short.finish(), None, "an entry is missing");
    assert!(Prover::of_inclusion(20, 20).is_none() && Prover::of_consistency(21, 20).is_none());
    assert!(Prover::of_consistency(0, 20).is_none());
}

proptest! {
    /// A compact range has one hash for each bit of its size, and others are none.
    #[test]
    fn ranges_have_one_hash_for_each_bit(size in any::<u64>(), extra in 0_usize..70) {
        let fits = size <= 1 << 62 && extra == usize::try_from(size.count_ones()).unwrap();
        prop_assert_eq!(CompactRange::new(size, vec![Hash::empty(); extra]).is_some(), fits);
    }

    /// Whatever bit of whatever hash is changed, whatever hash is left out, put in or moved: it proves nothing.
    #[test]
    fn no_changed_proof_is_taken(size in 2_u64..300, index in 0_u64..300, bit in 0_usize..256, kind in 0_u8..4) {
        let index = index % size;
        let leaves = leaves(size);
        let root = tree(&leaves).root();
        let leaf = leaves[usize::try_from(index).unwrap()];
        let inclusion = proved(Prover::of_inclusion(index, size).unwrap(), &leaves, 0);
        let old_root = tree(&leaves[..=usize::try_from(index).unwrap()]).root();
        let consistency = proved(Prover::of_consistency(index + 1, size).unwrap(), &leaves, 0);
        let changed = |proof: &[Hash]| {
            let mut proof = proof.to_vec();
            let place = bit % proof.len().max(1);
            match kind {
                0 if !proof.is_empty() => proof[place].0[bit / 8] ^= 1 << (bit % 8),
                1 if !proof.is_empty() => drop(proof.remove(place)),
                2 => proof.insert(place, Hash::empty()),
                _ => proof.reverse(),
            }
            proof
        };
        let wrong = changed(&inclusion);
        prop_assert_eq!(verify_inclusion(leaf, index, size, &wrong, root).is_ok(), wrong == inclusion);
        let wrong = changed(&consistency);
        let taken = verify_consistency((index + 1, old_root), (size, root), &wrong);
        prop_assert_eq!(taken.is_ok(), wrong == consistency);
    }

    /// Whatever comes is judged without a panic and without end.
    #[test]
    fn nothing_breaks_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        let _ = ProofFile::parse(&bytes);
        let _ = SignedCheckpoint::parse(&bytes);
        let _ = GrowthFile::parse(&bytes);
        let _ = ProofFile::parse(format!("c2sp.org/tlog-proof@v1\n{text}").as_bytes());
        let _ = Checkpoint::parse(&text);
        let hashes = vec![Hash::empty(); bytes.len()];
        let (size, index) = (u64::from(bytes.first().copied().unwrap_or(0)), u64::MAX - 1);
        let _ = verify_inclusion(Hash::empty(), index, u64::MAX, &hashes, Hash::empty());
        let _ = verify_consistency((size, Hash::empty()), (u64::MAX, Hash::empty()), &hashes);
    }
}

fn signer(seed: u8) -> SignerKey {
    SignerKey::new("tallybox/shop-1/0011223344556677", &[seed; 32]).unwrap()
}

fn checkpoint(size: u64) -> SignedCheckpoint {
    let tree = tree(&leaves(size));
    SignedCheckpoint::sign(Checkpoint::new("tallybox/shop-1/0011223344556677", &tree), &signer(1)).unwrap()
}

/// The example of C2SP's text is read, and written as the same bytes.
#[test]
fn the_example_of_the_specification_is_read() {
    let example = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let read = SignedCheckpoint::parse(example.as_bytes()).unwrap();
    assert_eq!((read.unverified().size, read.to_string().as_str()), (20_852_163, example));
    assert_eq!(read.unverified().to_string(), example.split_once("\n\n").unwrap().0.to_owned() + "\n");
    let theirs = tlog_tiles::checkpoint::Checkpoint::from_bytes(read.unverified().to_string().as_bytes()).unwrap();
    assert_eq!((theirs.size(), theirs.hash().0), (20_852_163, read.unverified().root.0));
    // Our own, in the other implementation.
    let own = checkpoint(9).unverified().to_string();
    let theirs = tlog_tiles::checkpoint::Checkpoint::from_bytes(own.as_bytes()).unwrap();
    assert_eq!((theirs.origin(), theirs.size()), ("tallybox/shop-1/0011223344556677", 9));
    assert_eq!(theirs.to_bytes(), own.as_bytes());
}

#[test]
fn only_exact_checkpoints_are_read() {
    let root = Hash::empty();
    for wrong in [
        format!("a\n5\n{root}"),
        format!("\n5\n{root}\n"),
        format!("a\n05\n{root}\n"),
        format!("a\n+5\n{root}\n"),
        format!("a\n 5\n{root}\n"),
        format!("a\n\n{root}\n"),
        format!("a\n18446744073709551616\n{root}\n"),
        "a\n5\nAAAA\n".to_owned(),
        format!("a\n5\n{}\n", root.to_string().trim_end_matches('=')),
        format!("a\n5\n{root}\n\nmore\n"),
        "a\n5\n".to_owned(),
        format!("a\n0\n{}\n", leaf_hash(b"")),
    ] {
        assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
    }
    let more = format!("a\n0\n{root}\nmore\n");
    assert_eq!(Checkpoint::parse(&more).unwrap().to_string(), more);
}

#[test]
fn every_changed_byte_of_a_checkpoint_shows() {
    let (good, key) = (checkpoint(9), signer(1).verifier_key());
    assert_eq!(good.verify(&key).unwrap().size, 9);
    assert_eq!(good.verify(&signer(2).verifier_key()), Err(CheckpointError::NotSigned(key.name().to_owned())));
    let bytes = good.to_string().into_bytes();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut wrong = bytes.clone();
            wrong[place] ^= 1 << bit;
            let read = SignedCheckpoint::parse(&wrong);
            assert!(read.is_err() || read.unwrap().verify(&key).is_err(), "byte {place}, bit {bit}");
        }
    }
    // One that the right key signed for another log.
    let tree = tree(&leaves(9));
    let moved = SignedCheckpoint::sign(Checkpoint::new("tallybox/shop-2/0011223344556677", &tree), &signer(1)).unwrap();
    assert!(matches!(moved.verify(&key), Err(CheckpointError::Origin { .. })));
}

#[test]
fn a_witness_says_when_and_of_what() {
    let (good, witness) = (checkpoint(9), SignerKey::new("operator.example/witness", &[7; 32]).unwrap());
    let key = witness.verifier_key();
    assert_eq!(good.cosigned_at(&key), Ok(None));
    let cosigned = good.cosign(&witness, 1_679_315_147).unwrap();
    assert_eq!(cosigned.cosigned_at(&key), Ok(Some(1_679_315_147)));
    cosigned.verify(&signer(1).verifier_key()).unwrap();
    // Again, later: the newer one replaces it.
    let again = cosigned.cosign(&witness, 1_679_315_200).unwrap();
    assert_eq!((again.cosigned_at(&key), again.to_string().lines().count()), (Ok(Some(1_679_315_200)), 6));
    let text = cosigned.to_string();
    let line = text.lines().last().unwrap().to_owned() + "\n";
    // The same cosignature under another checkpoint.
    let moved = SignedCheckpoint::parse((checkpoint(10).to_string() + &line).as_bytes()).unwrap();
    assert!(moved.cosigned_at(&key).is_err());
    // Any bit of it.
    let start = text.len() - line.len();
    for place in start..text.len() {
        for bit in 0..8 {
            let mut wrong = text.clone().into_bytes();
            wrong[place] ^= 1 << bit;
            let taken = SignedCheckpoint::parse(&wrong).map(|read| read.cosigned_at(&key));
            assert!(!matches!(taken, Ok(Ok(Some(_)))), "byte {place}, bit {bit}");
        }
    }
}

#[test]
fn a_proof_file_proves_its_entry_and_no_other() {
    let (leaves, key) = (leaves(9), signer(1).verifier_key());
    for (index, pruned) in [(0, 0), (4, 3), (8, 8)] {
        let hashes = proved(Prover::of_inclusion(index, 9).unwrap(), &leaves, pruned);
        let entry = format!("entry {index}");
        let file = ProofFile { extra: Some(entry.clone().into()), index, hashes, checkpoint: checkpoint(9) };
        let bytes = file.to_string().into_bytes();
        let read = ProofFile::parse(&bytes).unwrap();
        assert_eq!(read, file);
        assert_eq!(read.verify(entry.as_bytes(), &key).unwrap().size, 9);
        assert!(read.verify(b"entry 5", &key).is_err());
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut wrong = bytes.clone();
                wrong[place] ^= 1 << bit;
                let taken = ProofFile::parse(&wrong).map_err(drop).and_then(|read| {
                    let extra = read.extra.clone().unwrap_or_default();
                    read.verify(&extra, &key).map(drop).map_err(drop)
                });
                assert_eq!(taken, Err(()), "byte {place}, bit {bit}");
            }
        }
    }
    let plain = ProofFile { extra: None, index: 0, hashes: Vec::new(), checkpoint: checkpoint(1) };
    assert_eq!(ProofFile::parse(plain.to_string().as_bytes()), Ok(plain.clone()));
    plain.verify(b"entry 0", &key).unwrap();
}

#[test]
fn a_log_that_grew_is_proved_and_no_other() {
    let (leaves, key) = (leaves(9), signer(1).verifier_key());
    for old in 1..=9 {
        let hashes = proved(Prover::of_consistency(old, 9).unwrap(), &leaves, usize::try_from(old).unwrap());
        let (file, known) = (GrowthFile { old, hashes, checkpoint: checkpoint(9) }, checkpoint(old));
        let (bytes, known) = (file.to_string().into_bytes(), known.unverified());
        let read = GrowthFile::parse(&bytes).unwrap();
        assert_eq!((read.verify(known, &key).unwrap().size, &read), (9, &file));
        assert!(read.verify(checkpoint(old % 9 + 1).unverified(), &key).is_err(), "{old}");
        for place in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[place] ^= 1 << (place % 8);
            let taken = GrowthFile::parse(&wrong).is_ok_and(|read| read.verify(known, &key).is_ok());
            assert!(!taken, "byte {place}");
        }
    }
}
