// Front-running: as primary it holds envelopes for a heartbeat's time and orders what came last first, so that who
// watches others' requests can still be served before them. Nothing is lost, and nobody can prove anything: who was
// first is not defined among concurrent requests, and real-time order of finished ones is kept.
#include <algorithm>

#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using Admitted = crypto::Verified<consensus::Envelope>;

constexpr std::size_t envelopes_held_max = 256;  // envelopes; then they leave early

class Reorder final : public FaultModel {
 public:
    explicit Reorder(const FaultContext& context) : context_(context), watch_(context_) {}

    [[nodiscard]] std::string name() const override { return "reorder"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        watch_.sent(send.message);
        return one(std::move(send));
    }
    [[nodiscard]] std::vector<Admitted> submit(Admitted envelope) override {
        if (!watch_.leading()) {
            return one(std::move(envelope));
        }
        held_.push_back(std::move(envelope));
        return held_.size() >= envelopes_held_max ? release() : std::vector<Admitted>();
    }
    [[nodiscard]] Misdeeds tick(std::uint64_t now_ms) override {
        Misdeeds deeds;
        if (held_.empty()) {
            since_ms_.reset();
        } else if (!since_ms_) {
            since_ms_ = now_ms;
        } else if (now_ms - *since_ms_ >= context_.heartbeat_ms || !watch_.leading()) {
            deeds.submissions = release();
        }
        return deeds;
    }

 private:
    [[nodiscard]] std::vector<Admitted> release() {
        since_ms_.reset();
        std::vector<Admitted> late_first = std::exchange(held_, {});
        std::reverse(late_first.begin(), late_first.end());
        return late_first;
    }

    FaultContext context_;
    ViewWatch watch_;
    std::vector<Admitted> held_;  // in the order of arrival
    std::optional<std::uint64_t> since_ms_;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_reorder(const FaultContext& context, const std::string&) {
    return std::make_unique<Reorder>(context);
}

}  // namespace loyal::replica::faults
