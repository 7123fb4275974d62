// Bit flips in what it sends, before the link's cipher authenticates it: what broken memory or a broken network card of
// the sender does. Every bit is flipped with probability P on its own.
#include <cmath>

#include "replica/faults/arguments.h"
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

class CorruptBits final : public FaultModel {
 public:
    CorruptBits(const FaultContext& context, double probability) : probability_(probability), draws_(context.seed) {
        skip();
    }

    [[nodiscard]] std::string name() const override { return "corrupt-bits"; }
    void outgoing_frame(consensus::ReplicaId, Bytes& frame) override {
        const std::uint64_t bits = std::uint64_t{8} * frame.size();
        std::uint64_t at = 0;
        while (bits - at > untouched_) {
            at += untouched_;
            frame[at / 8] = static_cast<std::uint8_t>(frame[at / 8] ^ (1U << (at % 8)));
            ++at;
            skip();
        }
        untouched_ -= bits - at;
    }

 private:
    // How many bits stay as they are before the next one flips: geometrically distributed.
    void skip() {
        constexpr double bits_of_a_double = 9007199254740992.0;  // 2^53
        constexpr double far = 1e15;
        const double uniform = (static_cast<double>(mix(++draws_) >> 11U) + 1.0) / bits_of_a_double;  // in (0, 1]
        const double gap = probability_ >= 1.0 ? 0.0 : std::floor(std::log(uniform) / std::log1p(-probability_));
        untouched_ = static_cast<std::uint64_t>(std::min(gap, far));
    }

    double probability_;
    std::uint64_t draws_;
    std::uint64_t untouched_ = 0;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_corrupt_bits(const FaultContext& context, const std::string& argument) {
    const auto probability = parse_probability(argument);
    if (!probability) {
        return tl::unexpected(probability.error());
    }
    return std::make_unique<CorruptBits>(context, *probability);
}

}  // namespace loyal::replica::faults
