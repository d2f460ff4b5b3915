//! Which edges of the code a corpus reaches: of each function that is entered at all, how many it has, and how many
//! were taken. libFuzzer's own counters (`-sanitizer-coverage-inline-8bit-counters`, `-pc-table`) are read.

use std::path::Path;

use tallybox::fuzzing::Target;

/// What the compiler writes down for an edge: where it is, and whether it is a function's first.
#[repr(C)]
struct Edge {
    place: usize,
    flags: usize,
}

#[allow(unsafe_code)]
// SAFETY: the linker defines the ends of the sections that instrumented code has.
unsafe extern "C" {
    static mut __start___sancov_cntrs: u8;
    static mut __stop___sancov_cntrs: u8;
    static __start___sancov_pcs: Edge;
    static __stop___sancov_pcs: Edge;
    static __ehdr_start: u8;
}

/// All edges, and how often each was taken.
#[allow(unsafe_code)]
fn sections() -> (&'static [Edge], &'static mut [u8], usize) {
    // SAFETY: both sections are there as long as the program is, and have one element for each edge. Nobody else looks
    // at the counters while this does: libFuzzer has not begun.
    unsafe {
        let (begin, end) = (&raw const __start___sancov_pcs, &raw const __stop___sancov_pcs);
        let edges = std::slice::from_raw_parts(begin, end.offset_from_unsigned(begin));
        let (begin, end) = (&raw mut __start___sancov_cntrs, &raw mut __stop___sancov_cntrs);
        let counters = std::slice::from_raw_parts_mut(begin, end.offset_from_unsigned(begin));
        (edges, counters, (&raw const __ehdr_start).addr())
    }
}

/// Where `TALLYBOX_FUZZ_COVERAGE` names a folder: runs the target on each file in it, prints a line for each function
/// that was entered (its offset in the program, edges taken, edges), and ends the program.
pub(crate) fn print(target: &Target) {
    let Some(folder) = std::env::var_os("TALLYBOX_FUZZ_COVERAGE") else { return };
    let (edges, counters, base) = sections();
    let mut taken = vec![false; counters.len()];
    for entry in std::fs::read_dir(Path::new(&folder)).expect("the corpus").flatten() {
        counters.fill(0);
        (target.run)(&std::fs::read(entry.path()).expect("an input"));
        taken.iter_mut().zip(counters.iter()).for_each(|(taken, count)| *taken |= *count > 0);
    }
    let mut functions: Vec<(usize, usize, usize)> = Vec::new();
    for (Edge { place, flags }, taken) in edges.iter().zip(taken) {
        if flags & 1 == 1 {
            functions.push((place - base, 0, 0));
        }
        if let Some((_, reached, all)) = functions.last_mut() {
            (*reached, *all) = (*reached + usize::from(taken), *all + 1);
        }
    }
    for (offset, reached, all) in functions.into_iter().filter(|(_, reached, _)| *reached > 0) {
        println!("{offset:x} {reached} {all}");
    }
    std::process::exit(0);
}
