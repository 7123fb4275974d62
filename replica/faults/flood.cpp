// Junk at full speed: messages that cost their receivers a signature check, a lookup, a disk read or an answer before
// they turn out to be of no use. Bounded, so that a demonstration does not eat the machine it runs on:
// messages_per_tick a tick to all peers together (3,200 a second with ticks of 10 ms), and none of them larger than
// about 1 KiB.
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::PeerMessage;

constexpr std::size_t messages_per_tick = 32;
constexpr std::uint64_t junk_kinds = 16;
constexpr std::size_t junk_value_bytes = 768;
constexpr std::uint64_t heights_ahead = 64;

class Flood final : public FaultModel {
 public:
    explicit Flood(const FaultContext& context) : context_(context), pen_(context_), watch_(context_) {}

    [[nodiscard]] std::string name() const override { return "flood"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        watch_.sent(send.message);
        if (const auto* beat = std::get_if<consensus::Heartbeat>(&send.message)) {
            prepared_ = beat->prepared;
        }
        return one(std::move(send));
    }
    [[nodiscard]] Misdeeds tick(std::uint64_t) override {
        Misdeeds deeds;
        const auto others = others_of(context_);
        while (deeds.sends.size() < messages_per_tick) {
            const auto to = others[++made_ % others.size()];
            deeds.sends.push_back(PeerSend{to, junk(mix(context_.seed ^ made_))});
        }
        return deeds;
    }

 private:
    [[nodiscard]] PeerMessage junk(std::uint64_t draw) const;
    [[nodiscard]] PeerMessage vote(std::uint64_t draw) const;
    [[nodiscard]] PeerMessage relay(std::uint64_t draw) const;

    FaultContext context_;
    Pen pen_;
    ViewWatch watch_;
    consensus::Height prepared_;
    std::uint64_t made_ = 0;
};

crypto::Digest digest_from(std::uint64_t draw) {
    crypto::Digest digest;
    for (std::uint8_t& byte : digest.bytes) {
        byte = static_cast<std::uint8_t>(draw = mix(draw));
    }
    return digest;
}

// Mostly votes, each well signed and for another block: the messages that a correct replica must look at.
PeerMessage Flood::junk(std::uint64_t draw) const {
    switch (draw % junk_kinds) {
        case 0: return consensus::Fetch{consensus::Fetch::What::committed, consensus::Height(1), {}};
        case 1: return consensus::Fetch{consensus::Fetch::What::by_id, {}, {digest_from(draw), digest_from(~draw)}};
        case 2: return consensus::Fetch{consensus::Fetch::What::new_view, {}, {}};
        case 3: return consensus::ClockProbe{draw};
        case 4: return consensus::PreVote{watch_.entered().next()};
        case 5:
        case 6:
        case 7: return relay(draw);
        default: return vote(draw);
    }
}

PeerMessage Flood::vote(std::uint64_t draw) const {
    consensus::Vote vote;
    vote.view = watch_.entered();
    vote.prep = {prepared_.plus(mix(draw) % heights_ahead + 1), digest_from(draw)};
    vote.voter = context_.self;
    return pen_.sealed(vote);
}

// A client's envelope, but for the signature.
PeerMessage Flood::relay(std::uint64_t draw) const {
    if (context_.membership.clients.empty() || is_crash_model(context_)) {
        return vote(draw);  // in the crash fault model it would be a request that somebody executes, not junk
    }
    auto client = context_.membership.clients.begin();
    std::advance(client, static_cast<std::ptrdiff_t>(draw % context_.membership.clients.size()));
    consensus::EnvelopeContent content;
    content.key = client->second;
    content.session = consensus::SessionId(draw);
    content.seq0 = consensus::Seq(1);
    content.count = 1;
    content.not_after = consensus::Hlc(~std::uint64_t{0});
    content.operations = kvstore::encode_operations({kvstore::Put{bytes_of("junk"), Bytes(junk_value_bytes, 0x6A)}});
    const auto& cluster = context_.membership.context;
    auto bytes = std::make_shared<const Bytes>(
        consensus::make_envelope(content, cluster.cluster_id, cluster.epoch, &context_.signer));
    auto envelope = consensus::parse_envelope(std::move(bytes));
    return envelope ? PeerMessage(consensus::Relay{std::move(*envelope)}) : vote(draw);
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_flood(const FaultContext& context, const std::string&) {
    return std::make_unique<Flood>(context);
}

}  // namespace loyal::replica::faults
