// Canonical bytes (PROTOCOL.md §2): fixed-layout, little-endian, no padding, no optional forms. What is hashed or
// signed is written by a CanonicalWriter; a CanonicalReader never reads past its end and `finish()` fails unless every
// byte was consumed, so a decoder that also checks its fields accepts exactly one encoding of each value.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>

#include "config/bytes.h"
#include "crypto/digest.h"
#include "crypto/signature.h"

namespace loyal::crypto {

class CanonicalWriter {
 public:
    CanonicalWriter() = default;
    explicit CanonicalWriter(std::size_t reserve_bytes) { out_.reserve(reserve_bytes); }

    template <std::unsigned_integral T>
    CanonicalWriter& number(T value) {
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            out_.push_back(static_cast<std::uint8_t>(value & 0xFFU));
            value = static_cast<T>(static_cast<std::uint64_t>(value) >> 8U);
        }
        return *this;
    }
    CanonicalWriter& raw(ByteView bytes) {
        out_.insert(out_.end(), bytes.begin(), bytes.end());
        return *this;
    }
    CanonicalWriter& digest(const Digest& value) { return raw(value.bytes); }
    CanonicalWriter& signature(const Signature& value) { return raw(value.bytes); }
    // u32 length, then the bytes.
    CanonicalWriter& sized(ByteView bytes) {
        number(static_cast<std::uint32_t>(bytes.size()));
        return raw(bytes);
    }

    [[nodiscard]] ByteView view() const noexcept { return out_; }
    [[nodiscard]] Bytes take() noexcept { return std::move(out_); }

 private:
    Bytes out_;
};

// After the first failed read every further one yields zeros and `ok()` is false.
class CanonicalReader {
 public:
    explicit CanonicalReader(ByteView data) noexcept : rest_(data) {}

    template <std::unsigned_integral T>
    [[nodiscard]] T number() noexcept {
        const ByteView bytes = raw(sizeof(T));
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            value |= static_cast<std::uint64_t>(bytes[i]) << (8U * i);
        }
        return static_cast<T>(value);
    }
    // Empty (and not ok) when fewer than `size` bytes are left.
    [[nodiscard]] ByteView raw(std::size_t size) noexcept {
        if (!ok_ || size > rest_.size()) {
            ok_ = false;
            return {};
        }
        const ByteView bytes = rest_.first(size);
        rest_ = rest_.subspan(size);
        return bytes;
    }
    [[nodiscard]] Digest digest() noexcept { return fixed<Digest>(); }
    [[nodiscard]] Signature signature() noexcept { return fixed<Signature>(); }
    // Refuses a length over `size_max` before looking further.
    [[nodiscard]] ByteView sized(std::size_t size_max) noexcept {
        const auto size = number<std::uint32_t>();
        if (size > size_max) {
            ok_ = false;
        }
        return raw(size);
    }

    [[nodiscard]] bool ok() const noexcept { return ok_; }
    [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }
    // True when nothing failed and nothing is left.
    [[nodiscard]] bool finish() const noexcept { return ok_ && rest_.empty(); }
    void reject() noexcept { ok_ = false; }

 private:
    template <class T>
    [[nodiscard]] T fixed() noexcept {
        T value;
        const ByteView bytes = raw(value.bytes.size());
        if (!bytes.empty()) {
            std::memcpy(value.bytes.data(), bytes.data(), bytes.size());
        }
        return value;
    }

    ByteView rest_;
    bool ok_ = true;
};

}  // namespace loyal::crypto
