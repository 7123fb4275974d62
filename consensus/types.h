// Strong types of the protocol. Users see view, primary, sequence; here a block's sequence number is its height
// (glossary: docs/PROTOCOL.md). None of these convert into one another.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

#include "crypto/digest.h"

namespace loyal::consensus {

template <class Tag, class Rep>
struct Number {
    Rep value{};

    constexpr Number() = default;
    constexpr explicit Number(Rep number) : value(number) {}
    friend constexpr auto operator<=>(const Number&, const Number&) = default;
    [[nodiscard]] constexpr Number next() const { return Number(value + 1); }
    [[nodiscard]] constexpr Number plus(Rep by) const { return Number(value + by); }
    // Zero when `by` is larger.
    [[nodiscard]] constexpr Number minus(Rep by) const { return Number(value > by ? value - by : 0); }
};

using View = Number<struct ViewTag, std::uint64_t>;
using Height = Number<struct HeightTag, std::uint64_t>;  // sequence number of a block; 0 is the genesis block
using ReplicaId = Number<struct ReplicaTag, std::uint16_t>;
using Epoch = Number<struct EpochTag, std::uint32_t>;
using PersistId = Number<struct PersistTag, std::uint64_t>;  // 0: nothing to wait for
using SessionId = Number<struct SessionTag, std::uint64_t>;
using Seq = Number<struct SeqTag, std::uint64_t>;

// Identity of a client: the first 16 bytes of H("client", public key).
struct ClientId {
    std::array<std::uint8_t, 16> bytes{};
    friend auto operator<=>(const ClientId&, const ClientId&) = default;
};

// View of a lock: -1 is the genesis lock, which needs no certificate.
struct LockView {
    std::int64_t value = -1;

    constexpr LockView() = default;
    constexpr explicit LockView(View view) : value(static_cast<std::int64_t>(view.value)) {}
    friend constexpr auto operator<=>(const LockView&, const LockView&) = default;
    [[nodiscard]] constexpr bool is_genesis() const { return value < 0; }
    [[nodiscard]] constexpr bool is(View view) const { return value == static_cast<std::int64_t>(view.value); }
    [[nodiscard]] constexpr bool before(View view) const { return value < static_cast<std::int64_t>(view.value); }
};

// Hybrid logical clock (Kulkarni et al. 2014): 48 bits of milliseconds since 1970, 16 bits of counter.
struct Hlc {
    std::uint64_t packed = 0;

    constexpr Hlc() = default;
    constexpr explicit Hlc(std::uint64_t bits) : packed(bits) {}
    constexpr Hlc(std::uint64_t wall_ms, std::uint16_t counter) : packed(wall_ms << 16U | counter) {}
    friend constexpr auto operator<=>(const Hlc&, const Hlc&) = default;
    [[nodiscard]] constexpr std::uint64_t wall_ms() const { return packed >> 16U; }
    [[nodiscard]] constexpr std::uint16_t counter() const { return static_cast<std::uint16_t>(packed & 0xFFFFU); }
};

// A block by position and name.
struct BlockRef {
    Height height;
    crypto::Digest id;
    friend auto operator<=>(const BlockRef&, const BlockRef&) = default;
};

struct Lock {
    LockView view;
    BlockRef block;
    friend bool operator==(const Lock&, const Lock&) = default;
    // Rank of a lock: view first, then height (rule V4).
    [[nodiscard]] std::pair<std::int64_t, std::uint64_t> rank() const { return {view.value, block.height.value}; }
};

// Head of the blocks that a replica voted to prepare, and the view in which it did.
struct Prepared {
    View view;
    BlockRef block;
    friend bool operator==(const Prepared&, const Prepared&) = default;
};

enum class FaultModel : std::uint8_t { byzantine = 1, crash = 2 };

}  // namespace loyal::consensus

template <class Tag, class Rep>
struct std::hash<loyal::consensus::Number<Tag, Rep>> {
    std::size_t operator()(const loyal::consensus::Number<Tag, Rep>& number) const noexcept {
        return std::hash<Rep>{}(number.value);
    }
};
