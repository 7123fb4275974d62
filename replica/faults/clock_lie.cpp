// A clock that is wrong on purpose. The core inside believes it, so its proposals carry time of the past or future and
// it finds everybody else's untimely (H2); clients are told the same time, and peers that compare clocks get readings
// of it, consistent with one another (Marzullo's intersection must leave them out).
#include <limits>

#include "replica/faults/arguments.h"
#include "replica/faults/behaviours.h"

namespace loyal::replica::faults {
namespace {

std::uint64_t shifted(std::uint64_t time, std::int64_t by) {
    const auto size = static_cast<std::uint64_t>(by < 0 ? -by : by);
    if (by < 0) {
        return time > size ? time - size : 0;
    }
    return time > std::numeric_limits<std::uint64_t>::max() - size ? time : time + size;
}

class ClockLie final : public FaultModel {
 public:
    explicit ClockLie(std::int64_t offset_ms) : offset_ms_(offset_ms) {}

    [[nodiscard]] std::string name() const override { return "clock-lie"; }
    [[nodiscard]] std::uint64_t wall_ms(std::uint64_t now) override { return shifted(now, offset_ms_); }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        const std::int64_t offset_us = offset_ms_ * 1'000;
        if (auto* probe = std::get_if<consensus::ClockProbe>(&send.message)) {
            probe->sent_us = shifted(probe->sent_us, offset_us);
        } else if (auto* answer = std::get_if<consensus::ClockAnswer>(&send.message)) {
            answer->received_us = shifted(answer->received_us, offset_us);
            answer->sent_us = shifted(answer->sent_us, offset_us);
        }
        return one(std::move(send));
    }

 private:
    std::int64_t offset_ms_;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_clock_lie(const FaultContext&, const std::string& argument) {
    const auto offset_ms = parse_offset_ms(argument);
    if (!offset_ms) {
        return tl::unexpected(offset_ms.error());
    }
    return std::make_unique<ClockLie>(*offset_ms);
}

}  // namespace loyal::replica::faults
