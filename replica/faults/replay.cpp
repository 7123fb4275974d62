// Sends again what was said before: its own messages and those that it received from others, of any age and view, to
// anybody. Kept is a uniform sample of everything since it began (Vitter's reservoir, TOMS'85), so that old views never
// quite disappear however long it runs.
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

constexpr std::size_t kept_max = 256;
constexpr std::size_t kept_bytes_max = std::size_t{64} << 10U;  // of one message; larger ones are not kept
constexpr std::size_t sends_per_tick = 4;

std::size_t bytes_of_blocks(const std::vector<consensus::BlockPtr>& blocks) {
    std::size_t bytes = 0;
    for (const auto& block : blocks) {
        bytes += block->body->size();
    }
    return bytes;
}

std::size_t size_of(const consensus::PeerMessage& message) {
    if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        return propose->block->body->size();
    }
    if (const auto* relay = std::get_if<consensus::Relay>(&message)) {
        return relay->envelope.owner ? relay->envelope.owner->size() : 0;
    }
    const auto* answer = std::get_if<consensus::Blocks>(&message);
    return answer == nullptr ? 0 : bytes_of_blocks(answer->blocks);
}

// Heartbeats and clock readings are too many, and worth nothing.
bool is_worth_it(const consensus::PeerMessage& message) {
    return !std::holds_alternative<consensus::Heartbeat>(message) &&
           !std::holds_alternative<consensus::ClockProbe>(message) &&
           !std::holds_alternative<consensus::ClockAnswer>(message) && size_of(message) <= kept_bytes_max;
}

class Replay final : public FaultModel {
 public:
    explicit Replay(const FaultContext& context) : context_(context) {}

    [[nodiscard]] std::string name() const override { return "replay"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        keep(send.message);
        return one(std::move(send));
    }
    [[nodiscard]] bool from_peer(consensus::ReplicaId, const consensus::PeerMessage& message) override {
        keep(message);
        return true;
    }
    [[nodiscard]] Misdeeds tick(std::uint64_t) override {
        Misdeeds deeds;
        const auto others = others_of(context_);
        for (std::size_t i = 0; i < sends_per_tick && !kept_.empty(); ++i) {
            deeds.sends.push_back(PeerSend{others[draw() % others.size()], kept_[draw() % kept_.size()]});
        }
        return deeds;
    }

 private:
    [[nodiscard]] std::uint64_t draw() { return mix(context_.seed ^ ++draws_); }
    void keep(const consensus::PeerMessage& message) {
        if (!is_worth_it(message)) {
            return;
        }
        ++seen_;
        if (kept_.size() < kept_max) {
            kept_.push_back(message);
        } else if (const std::uint64_t at = draw() % seen_; at < kept_max) {
            kept_[at] = message;
        }
    }

    FaultContext context_;
    std::vector<consensus::PeerMessage> kept_;
    std::uint64_t seen_ = 0;
    std::uint64_t draws_ = 0;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_replay(const FaultContext& context, const std::string&) {
    return std::make_unique<Replay>(context);
}

}  // namespace loyal::replica::faults
