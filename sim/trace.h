// Trace: everything that happens in a run, in order. Always hashed, so that two runs of a seed can be compared; written
// as text only on demand.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "crypto/digest.h"
#include "sim/scheduler.h"

namespace loyal::sim {

class Trace {
 public:
    using Write = std::function<void(const std::string& line)>;

    // `write` null: hash only.
    explicit Trace(const Scheduler& scheduler, Write write = {}) : scheduler_(scheduler), write_(std::move(write)) {}

    // `a` and `b` say who, `detail` what (a height, part of an id). `what` outlives the call.
    void event(std::string_view what, std::uint64_t a, std::uint64_t b = 0, std::uint64_t detail = 0);
    // Only with a writer; `make` builds the text.
    template <class Make>
    void text(Make make) {
        if (write_) {
            line(make());
        }
    }
    [[nodiscard]] bool wanted() const { return static_cast<bool>(write_); }
    // Of all events so far.
    [[nodiscard]] std::uint64_t hash() const { return hash_; }

 private:
    void line(const std::string& text) const;

    const Scheduler& scheduler_;
    Write write_;
    std::uint64_t hash_ = 0xCBF29CE484222325ULL;
};

[[nodiscard]] std::uint64_t brief(const crypto::Digest& digest);

}  // namespace loyal::sim
