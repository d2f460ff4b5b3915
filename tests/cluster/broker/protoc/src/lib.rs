//! In the place of the crate `protobuf-src`, which compiles protobuf's C++ for ten minutes: Debian's compiler.

use std::path::PathBuf;

/// The compiler: Debian's protobuf-compiler.
pub fn protoc() -> PathBuf {
    "/usr/bin/protoc".into()
}

/// Google's own definitions: Debian's libprotobuf-dev.
pub fn include() -> PathBuf {
    "/usr/include".into()
}
