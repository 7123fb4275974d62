// Random: the simulator's only source of chance. xoshiro256** (Blackman and Vigna 2018) seeded through splitmix64, and
// distributions of our own, so that a seed means the same run with every compiler and library.
#pragma once

#include <array>
#include <cstdint>

namespace loyal::sim {

class Random {
 public:
    // Streams of one seed are independent: what one component draws does not shift what another sees.
    explicit Random(std::uint64_t seed, std::uint64_t stream = 0) {
        std::uint64_t state = seed ^ (stream * 0xD1B54A32D192ED03ULL);
        for (std::uint64_t& word : words_) {
            word = split_mix(state);
        }
    }

    [[nodiscard]] std::uint64_t next() {
        const std::uint64_t result = rotate(words_[1] * 5, 7) * 9;
        const std::uint64_t shifted = words_[1] << 17U;
        words_[2] ^= words_[0];
        words_[3] ^= words_[1];
        words_[1] ^= words_[2];
        words_[0] ^= words_[3];
        words_[2] ^= shifted;
        words_[3] = rotate(words_[3], 45);
        return result;
    }
    // 0 .. bound-1; 0 when bound is 0. The bias of the multiplication is below 2^-32 for the bounds used here.
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) {
        if (bound <= 0xFFFFFFFFULL) {
            return ((next() >> 32U) * bound) >> 32U;
        }
        return next() % bound;
    }
    [[nodiscard]] std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
    [[nodiscard]] bool one_in(std::uint64_t count) { return count != 0 && below(count) == 0; }
    // Parts per million.
    [[nodiscard]] bool chance(std::uint32_t ppm) { return ppm != 0 && below(1'000'000) < ppm; }
    template <class T, std::size_t N>
    [[nodiscard]] const T& pick(const std::array<T, N>& choices) {
        return choices[below(N)];
    }

 private:
    [[nodiscard]] static constexpr std::uint64_t rotate(std::uint64_t value, unsigned by) {
        return value << by | value >> (64U - by);
    }
    [[nodiscard]] static constexpr std::uint64_t split_mix(std::uint64_t& state) {
        state += 0x9E3779B97F4A7C15ULL;
        std::uint64_t value = state;
        value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9ULL;
        value = (value ^ (value >> 27U)) * 0x94D049BB133111EBULL;
        return value ^ (value >> 31U);
    }

    std::array<std::uint64_t, 4> words_{};
};

}  // namespace loyal::sim
