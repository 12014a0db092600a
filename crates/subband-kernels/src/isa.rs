//! Choice of the instruction set at run time.

use std::fmt;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Kernel, Portable, Simd};

/// An instruction set that this CPU has. Holding one is the proof: there is no way to make an `Isa` the CPU lacks.
#[derive(Clone, Copy)]
pub struct Isa(Token);

#[derive(Clone, Copy)]
enum Token {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl Isa {
    /// The fastest instruction set of this CPU, looked up once.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::avx512().or_else(Isa::avx2).unwrap_or_else(Isa::portable))
    }

    /// AVX-512 F and DQ, where the CPU has them.
    pub fn avx512() -> Option<Isa> {
        #[cfg(target_arch = "x86_64")]
        return Avx512::new().map(|t| Isa(Token::Avx512(t)));
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// AVX2 and FMA, where the CPU has them.
    pub fn avx2() -> Option<Isa> {
        #[cfg(target_arch = "x86_64")]
        return Avx2::new().map(|t| Isa(Token::Avx2(t)));
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// What every CPU has: plain Rust.
    pub fn portable() -> Isa {
        Isa(Token::Portable(Portable))
    }

    /// All instruction sets of this CPU, the fastest first.
    pub fn all() -> impl Iterator<Item = Isa> {
        [Isa::avx512(), Isa::avx2(), Some(Isa::portable())].into_iter().flatten()
    }

    /// "avx512", "avx2" or "portable".
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => "avx2",
            Token::Portable(_) => "portable",
        }
    }

    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(s) => s.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(s) => s.run(kernel),
            Token::Portable(s) => s.run(kernel),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isa({self})")
    }
}
