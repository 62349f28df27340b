//! How large an allocation really is: jemalloc's size classes, by which the keyspace counts its bytes and sizes its
//! allocations.

/// The bytes that an allocation of `size` occupies: the next multiple of 16 up to 128, above it four classes for
/// each doubling.
#[inline]
#[must_use]
pub(crate) const fn size_class(size: usize) -> usize {
    if size <= 8 {
        return 8;
    }
    let doubling = (size - 1).ilog2();
    let step = if doubling < 6 { 16 } else { 1 << (doubling - 2) };
    (size + step - 1) & !(step - 1)
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_are_those_of_jemalloc() {
        let classes = [
            8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024,
            1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288, 14336,
            16384, 20480,
        ];
        for (smaller, class) in std::iter::once(0).chain(classes).zip(classes) {
            assert_eq!(size_class(smaller + 1), class);
            assert_eq!(size_class(class), class);
        }
        assert_eq!(size_class(1 << 20), 1 << 20);
        assert_eq!(size_class((1 << 20) + 1), (1 << 20) + (1 << 18));
    }
}
