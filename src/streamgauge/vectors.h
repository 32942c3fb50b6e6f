/* For loops that a compiler makes vector instructions of. */

#ifndef STREAMGAUGE_VECTORS_H
#define STREAMGAUGE_VECTORS_H

#define INLINE static inline __attribute__((always_inline))

/* WIDE before a function makes it as wide as the processor can, which is found out when the library
   is loaded. It never rounds a product and a sum at once (FMA): of versions with that, GCC knows
   those of named processors alone, and gives all others the narrowest. A file that wants it has a
   version for a TARGET, which is taken where the processor HAS it. */
#if defined(__x86_64__) && defined(__gnu_linux__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#define TARGET(name) __attribute__((target(name)))
#define HAS(name) __builtin_cpu_supports(name)
#else
#define WIDE
#define TARGET(name)
#define HAS(name) 0
#endif

#endif
