// A primary that orders as slowly as it dares (Aardvark, NSDI'09; Prime, DSN'08): every proposal waits for most of the
// progress time-out, while heartbeats come in time. So that nobody gets the block by another way, its votes for it wait
// too, and heartbeats and answers to catching-up peers do not know of it yet.
#include <algorithm>
#include <deque>

#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::Height;

// Left of the time-out for two vote rounds: a commit re-arms it (T1).
constexpr std::uint64_t delay_percent = 80;
constexpr std::size_t messages_held_max = 4096;  // messages; then the oldest leave early

class SlowPrimary final : public FaultModel {
 public:
    explicit SlowPrimary(const FaultContext& context)
        : context_(context), delay_ms_(context.progress_min_ms * delay_percent / 100) {}

    [[nodiscard]] std::string name() const override { return "slow-primary"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override;
    [[nodiscard]] Misdeeds tick(std::uint64_t now_ms) override;

 private:
    struct Held {
        std::uint64_t due_ms;
        PeerSend send;
    };
    [[nodiscard]] std::vector<PeerSend> hold(PeerSend send, std::uint64_t due_ms);
    // Lowest proposed height that nobody has seen.
    [[nodiscard]] std::optional<Height> lowest_held() const;
    void conceal(consensus::Blocks& answer, Height from) const;

    FaultContext context_;
    std::uint64_t delay_ms_;
    std::uint64_t now_ms_ = 0;
    std::deque<Held> held_;
};

std::optional<Height> SlowPrimary::lowest_held() const {
    for (const Held& held : held_) {
        if (const auto* propose = std::get_if<consensus::Propose>(&held.send.message)) {
            return propose->block->header.height;
        }
    }
    return std::nullopt;
}

std::vector<PeerSend> SlowPrimary::hold(PeerSend send, std::uint64_t due_ms) {
    std::vector<PeerSend> out;
    if (held_.size() >= messages_held_max) {
        out.push_back(std::move(held_.front().send));
        held_.pop_front();
    }
    held_.push_back({due_ms, std::move(send)});
    return out;
}

void SlowPrimary::conceal(consensus::Blocks& answer, Height from) const {
    std::erase_if(answer.blocks, [&](const consensus::BlockPtr& block) {
        return block->header.height >= from && leads(context_, block->header.view);
    });
    if (answer.prepare && answer.prepare->target.height >= from) {
        answer.prepare.reset();
    }
}

std::vector<PeerSend> SlowPrimary::to_peer(PeerSend send) {
    if (const auto* propose = std::get_if<consensus::Propose>(&send.message);
        propose != nullptr && leads(context_, propose->block->header.view)) {
        return hold(std::move(send), now_ms_ + delay_ms_);
    }
    const auto concealed = lowest_held();
    if (!concealed) {
        return one(std::move(send));
    }
    if (auto* beat = std::get_if<consensus::Heartbeat>(&send.message)) {
        beat->prepared = std::min(beat->prepared, concealed->minus(1));
    } else if (auto* answer = std::get_if<consensus::Blocks>(&send.message)) {
        conceal(*answer, *concealed);
    } else if (const auto* vote = std::get_if<consensus::Vote>(&send.message);
               vote != nullptr && leads(context_, vote->view) && vote->prep.height >= *concealed) {
        return hold(std::move(send), held_.back().due_ms);  // behind its block
    }
    return one(std::move(send));
}

Misdeeds SlowPrimary::tick(std::uint64_t now_ms) {
    // Set while the replica ran: what was held before the first tick is due from then on.
    if (now_ms_ == 0) {
        for (Held& held : held_) {
            held.due_ms += now_ms;
        }
    }
    now_ms_ = now_ms;
    Misdeeds deeds;
    while (!held_.empty() && held_.front().due_ms <= now_ms) {
        deeds.sends.push_back(std::move(held_.front().send));
        held_.pop_front();
    }
    return deeds;
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_slow_primary(const FaultContext& context, const std::string&) {
    return std::make_unique<SlowPrimary>(context);
}

}  // namespace loyal::replica::faults
