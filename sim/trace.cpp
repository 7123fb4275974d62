#include "sim/trace.h"

#include <fmt/format.h>

#include <cstring>

namespace loyal::sim {

std::uint64_t brief(const crypto::Digest& digest) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i) {
        value = value << 8U | digest.bytes[i];
    }
    return value;
}

void Trace::event(std::string_view what, std::uint64_t a, std::uint64_t b, std::uint64_t detail) {
    const auto add = [this](std::uint64_t value) {
        hash_ = (hash_ ^ value) * 0xFF51AFD7ED558CCDULL;
        hash_ ^= hash_ >> 29U;
    };
    for (const char c : what) {
        add(static_cast<unsigned char>(c));
    }
    add(scheduler_.now());
    add(a);
    add(b);
    add(detail);
    if (write_) {
        line(fmt::format("{} {} {} {:x}", what, a, b, detail));
    }
}

void Trace::line(const std::string& text) const {
    write_(fmt::format("{:>10.3f} ms  {}", static_cast<double>(scheduler_.now()) / 1'000.0, text));
}

}  // namespace loyal::sim
