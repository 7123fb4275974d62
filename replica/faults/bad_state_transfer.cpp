// Deceives whoever catches up. It claims to be far ahead, so that everybody who lacks something asks it, and then
//   corrupt    answers with blocks that were never committed, broken certificates, headers with one missing;
//   withhold   answers nothing, or the proof without the blocks;
//   endless    answers again and again with the same old blocks, and always claims that more is to come.
// Without an argument, each of these in turn. In the crash fault model the word of a peer is believed, so there a false
// block gets in.
#include <algorithm>
#include <array>

#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::Blocks;
using consensus::Header;
using consensus::ReplicaId;

constexpr std::uint64_t claimed_heights = 1'000'000;
constexpr std::size_t repeats_max = 100;                             // unasked answers after each question
constexpr std::size_t repeated_bytes_max = std::size_t{256} << 10U;  // a larger answer is not repeated
constexpr std::size_t chunks_at_once = 40;                           // of a state, where one was asked for

enum class Way : std::uint8_t { corrupt, withhold, endless };

class BadStateTransfer final : public FaultModel {
 public:
    BadStateTransfer(const FaultContext& context, std::optional<Way> way)
        : context_(context), pen_(context_), way_(way), repeats_(context.membership.replicas.size()) {}

    [[nodiscard]] std::string name() const override { return "bad-state-transfer"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override;
    [[nodiscard]] bool from_peer(ReplicaId from, const consensus::PeerMessage& message) override;
    [[nodiscard]] Misdeeds tick(std::uint64_t now_ms) override;

 private:
    [[nodiscard]] Way next_way() {
        static constexpr std::array ways{Way::corrupt, Way::withhold, Way::endless};
        return way_.value_or(ways[answers_++ % ways.size()]);
    }
    [[nodiscard]] Blocks corrupted(Blocks answer);
    [[nodiscard]] std::vector<PeerSend> withheld(ReplicaId to, Blocks answer);
    [[nodiscard]] std::vector<PeerSend> endless(ReplicaId to, Blocks answer);
    // Parts of a state (S6): falsified, kept back or denied, or far too many.
    [[nodiscard]] std::vector<PeerSend> part_of_state(ReplicaId to, consensus::StateChunk chunk);

    FaultContext context_;
    Pen pen_;
    std::optional<Way> way_;
    std::uint64_t answers_ = 0;
    std::uint64_t draws_ = 0;
    std::optional<Blocks> old_;         // what `endless` answers
    std::vector<std::size_t> repeats_;  // left, for each peer
};

std::vector<PeerSend> BadStateTransfer::to_peer(PeerSend send) {
    if (auto* beat = std::get_if<consensus::Heartbeat>(&send.message)) {
        beat->committed = beat->committed.plus(claimed_heights);
        beat->prepared = beat->prepared.plus(claimed_heights);
    } else if (auto* answer = std::get_if<Blocks>(&send.message)) {
        switch (next_way()) {
            case Way::corrupt: send.message = corrupted(std::move(*answer)); break;
            case Way::withhold: return withheld(send.to, std::move(*answer));
            case Way::endless: return endless(send.to, std::move(*answer));
        }
    } else if (auto* chunk = std::get_if<consensus::StateChunk>(&send.message)) {
        return part_of_state(send.to, std::move(*chunk));
    } else if (const auto* new_view = std::get_if<consensus::NewView>(&send.message);
               new_view != nullptr && new_view->leader != context_.self && next_way() != Way::endless) {
        return {};  // somebody asked for it
    }
    return one(std::move(send));
}

// Well-formed, so that the receiver's checks have to find it: another last block, a false certificate, or a hole.
Blocks BadStateTransfer::corrupted(Blocks answer) {
    const std::uint64_t draw = mix(context_.seed ^ ++draws_) % 3;
    if (draw == 0 && answer.commit && !answer.commit->votes.empty()) {
        consensus::Vote& vote = answer.commit->votes.back();
        vote.signature.bytes[0] = static_cast<std::uint8_t>(vote.signature.bytes[0] ^ 1U);
    } else if (draw == 1 && answer.headers.size() > 2) {
        answer.headers.erase(answer.headers.begin() + 1);
    } else if (!answer.blocks.empty()) {
        const consensus::BlockPtr truth = answer.blocks.back();
        Header header = truth->header;
        std::vector<consensus::Envelope> envelopes = truth->envelopes;
        retell(header, envelopes);
        if (const auto lie = pen_.block(header, envelopes, context_.signer)) {
            answer.blocks.back() = lie;
            std::replace(answer.headers.begin(), answer.headers.end(), truth->header, lie->header);
        }
    }
    return answer;
}

std::vector<PeerSend> BadStateTransfer::withheld(ReplicaId to, Blocks answer) {
    if (mix(context_.seed ^ ++draws_) % 2 == 0 || answer.headers.empty()) {
        return {};
    }
    answer.blocks.clear();
    answer.prepare.reset();
    return {PeerSend{to, std::move(answer)}};
}

std::vector<PeerSend> BadStateTransfer::endless(ReplicaId to, Blocks answer) {
    std::size_t bytes = 0;
    for (const auto& block : answer.blocks) {
        bytes += block->body->size();
    }
    if (!old_ && bytes <= repeated_bytes_max) {
        old_ = answer;
    }
    repeats_[to.value] = repeats_max;
    return old_ ? std::vector{PeerSend{to, *old_}} : std::vector<PeerSend>();
}

std::vector<PeerSend> BadStateTransfer::part_of_state(ReplicaId to, consensus::StateChunk chunk) {
    const std::uint64_t draw = mix(context_.seed ^ ++draws_);
    switch (next_way()) {
        case Way::corrupt:
            if (chunk.content != nullptr && !chunk.content->empty()) {
                Bytes content = *chunk.content;
                std::uint8_t& byte = content[draw % content.size()];
                byte = static_cast<std::uint8_t>(byte ^ 1U);
                chunk.content = std::make_shared<const Bytes>(std::move(content));
            }
            break;
        case Way::withhold:
            if (draw % 2 == 0) {
                return {};
            }
            chunk.available = false;
            chunk.content = std::make_shared<const Bytes>();
            break;
        case Way::endless: return std::vector<PeerSend>(chunks_at_once, PeerSend{to, chunk});
    }
    std::vector<PeerSend> out;
    out.push_back(PeerSend{to, std::move(chunk)});
    return out;
}

bool BadStateTransfer::from_peer(ReplicaId from, const consensus::PeerMessage& message) {
    if (std::holds_alternative<consensus::Fetch>(message) && way_.value_or(Way::endless) == Way::endless && old_) {
        repeats_[from.value] = repeats_max;
    }
    return true;
}

Misdeeds BadStateTransfer::tick(std::uint64_t) {
    Misdeeds deeds;
    for (std::size_t i = 0; i < repeats_.size() && old_; ++i) {
        if (repeats_[i] > 0) {
            --repeats_[i];
            deeds.sends.push_back(PeerSend{ReplicaId(static_cast<std::uint16_t>(i)), *old_});
        }
    }
    return deeds;
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_bad_state_transfer(const FaultContext& context, const std::string& argument) {
    std::optional<Way> way;
    if (argument == "corrupt") {
        way = Way::corrupt;
    } else if (argument == "withhold") {
        way = Way::withhold;
    } else if (argument == "endless") {
        way = Way::endless;
    }
    return std::make_unique<BadStateTransfer>(context, way);
}

}  // namespace loyal::replica::faults
