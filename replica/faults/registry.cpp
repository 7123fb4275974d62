// The list of behaviours, and how several of them are put around one another.
#include <algorithm>
#include <array>

#include "replica/faults/arguments.h"
#include "replica/faults/behaviours.h"

namespace loyal::replica {
namespace {

struct Entry {
    BehaviourInfo info;
    faults::Maker make = nullptr;
    faults::ArgumentCheck check = nullptr;
};

constexpr std::array entries{
    Entry{{"silent", "", "sends nothing to anybody"}, faults::make_silent},
    Entry{{"mute-to", "IDS", "sends nothing to these replicas"}, faults::make_mute_to, faults::check_ids},
    Entry{{"equivocate", "", "as primary, proposes different blocks to different replicas"}, faults::make_equivocate},
    Entry{{"double-vote", "", "votes for two blocks at once"}, faults::make_double_vote},
    Entry{{"lie-to-clients", "[CLIENTS]", "answers all or these clients with wrong values and outcomes"},
          faults::make_lie_to_clients,
          faults::check_clients},
    Entry{{"stale-reads", "", "answers reads with what they returned long ago"}, faults::make_stale_reads},
    Entry{{"forge", "", "sends messages in others' names and with bad signatures"}, faults::make_forge},
    Entry{{"replay", "", "sends old messages of all replicas again"}, faults::make_replay},
    Entry{{"slow-primary", "", "as primary, proposes just before the others' patience ends"},
          faults::make_slow_primary},
    Entry{{"censor", "client:CLIENT|key:PREFIX", "leaves out a client, or keys with a prefix"},
          faults::make_censor,
          faults::check_victim},
    Entry{{"reorder", "", "as primary, orders late requests before early ones"}, faults::make_reorder},
    Entry{{"bad-view-change", "", "lies in view changes: false locks, huge views, broken NEWVIEWs"},
          faults::make_bad_view_change},
    Entry{{"view-change-spam", "", "asks for new views all the time"}, faults::make_view_change_spam},
    Entry{{"bad-checkpoint", "", "as primary, puts a false checkpoint into its blocks"}, faults::make_bad_checkpoint},
    Entry{{"bad-state-transfer", "[corrupt|withhold|endless]", "deceives replicas that catch up"},
          faults::make_bad_state_transfer,
          faults::check_transfer},
    Entry{{"clock-lie", "OFFSET", "has a clock that is wrong by +10s, -1h, ..."},
          faults::make_clock_lie,
          faults::check_offset},
    Entry{{"flood", "", "sends valid-looking junk, as much as it may"}, faults::make_flood},
    Entry{{"corrupt-bits", "P", "flips each bit that it sends with probability P"},
          faults::make_corrupt_bits,
          faults::check_probability},
    Entry{{"amnesia", "", "forgets its votes and promises at every restart"}, faults::make_amnesia},
    Entry{{"collude", "IDS", "splits the others together with these replicas, whose keys it has"},
          faults::make_collude,
          faults::check_ids},
    Entry{{"wrong-execution", "", "computes something else than the others"}, faults::make_wrong_execution},
    Entry{{"bad-memory", "", "is correct, but one bit of what it computed flips, once"}, faults::make_bad_memory},
};

const Entry* find_entry(std::string_view name) {
    const auto* found =
        std::find_if(entries.begin(), entries.end(), [&](const Entry& each) { return each.info.name == name; });
    return found == entries.end() ? nullptr : found;
}

// Each behaviour sees what the one before it let through.
class Chain final : public FaultModel {
 public:
    Chain(std::string name, std::vector<std::unique_ptr<FaultModel>> links)
        : name_(std::move(name)), links_(std::move(links)) {}

    [[nodiscard]] std::string name() const override { return name_; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override { return pass(0, one(std::move(send))); }
    [[nodiscard]] std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId& client,
                                                              wire::ReplicaMessage message) override {
        std::vector<wire::ReplicaMessage> now = one(std::move(message));
        for (const auto& link : links_) {
            std::vector<wire::ReplicaMessage> next;
            for (wire::ReplicaMessage& each : now) {
                append(next, link->to_client(client, std::move(each)));
            }
            now = std::move(next);
        }
        return now;
    }
    void outgoing_frame(consensus::ReplicaId to, Bytes& frame) override {
        for (const auto& link : links_) {
            link->outgoing_frame(to, frame);
        }
    }
    [[nodiscard]] bool from_peer(consensus::ReplicaId from, const consensus::PeerMessage& message) override {
        bool heard = true;
        for (const auto& link : links_) {  // all of them get to see it
            heard = link->from_peer(from, message) && heard;
        }
        return heard;
    }
    [[nodiscard]] bool from_client(const consensus::ClientId& client, const wire::Read& request) override {
        bool heard = true;
        for (const auto& link : links_) {
            heard = link->from_client(client, request) && heard;
        }
        return heard;
    }
    [[nodiscard]] std::vector<crypto::Verified<consensus::Envelope>> submit(
        crypto::Verified<consensus::Envelope> envelope) override {
        return hand_on(0, one(std::move(envelope)));
    }
    [[nodiscard]] std::uint64_t wall_ms(std::uint64_t now) override {
        for (const auto& link : links_) {
            now = link->wall_ms(now);
        }
        return now;
    }
    void executed(kvstore::ExecutedBlock& block) override {
        for (const auto& link : links_) {
            link->executed(block);
        }
    }
    [[nodiscard]] Misdeeds tick(std::uint64_t now_ms) override {
        Misdeeds all;
        for (std::size_t i = 0; i < links_.size(); ++i) {
            Misdeeds own = links_[i]->tick(now_ms);
            append(all.sends, pass(i + 1, std::move(own.sends)));
            append(all.submissions, hand_on(i + 1, std::move(own.submissions)));
        }
        return all;
    }
    void recovered(consensus::Recovered& recovered) override {
        for (const auto& link : links_) {
            link->recovered(recovered);
        }
    }

 private:
    template <class T>
    static void append(std::vector<T>& to, std::vector<T>&& more) {
        to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    }
    [[nodiscard]] std::vector<PeerSend> pass(std::size_t first, std::vector<PeerSend> now) {
        for (std::size_t i = first; i < links_.size(); ++i) {
            std::vector<PeerSend> next;
            for (PeerSend& each : now) {
                append(next, links_[i]->to_peer(std::move(each)));
            }
            now = std::move(next);
        }
        return now;
    }
    [[nodiscard]] std::vector<crypto::Verified<consensus::Envelope>> hand_on(
        std::size_t first, std::vector<crypto::Verified<consensus::Envelope>> now) {
        for (std::size_t i = first; i < links_.size(); ++i) {
            std::vector<crypto::Verified<consensus::Envelope>> next;
            for (auto& each : now) {
                append(next, links_[i]->submit(std::move(each)));
            }
            now = std::move(next);
        }
        return now;
    }

    std::string name_;
    std::vector<std::unique_ptr<FaultModel>> links_;
};

}  // namespace

const std::vector<BehaviourInfo>& behaviours() {
    static const std::vector<BehaviourInfo> all = [] {
        std::vector<BehaviourInfo> infos;
        for (const Entry& entry : entries) {
            infos.push_back(entry.info);
        }
        return infos;
    }();
    return all;
}

Result<std::unique_ptr<FaultModel>> make_fault(const FaultSpec& spec, const FaultContext& context) {
    if (spec.kind != FaultSpec::Kind::byzantine) {
        return std::unique_ptr<FaultModel>();
    }
    std::vector<std::unique_ptr<FaultModel>> links;
    for (const BehaviourSpec& behaviour : spec.behaviours) {
        const Entry* found = find_entry(behaviour.name);
        if (found == nullptr) {
            return fail(Errc::invalid_argument, "unknown behaviour \"" + behaviour.name + "\"");
        }
        auto made = found->make(context, behaviour.argument);
        if (!made) {
            return fail(made.error().code, behaviour.name + ": " + made.error().message);
        }
        links.push_back(std::move(*made));
    }
    return std::unique_ptr<FaultModel>(std::make_unique<Chain>(to_string(spec), std::move(links)));
}

Result<void> faults::check_argument(const std::string& behaviour, const std::string& argument) {
    const Entry* found = find_entry(behaviour);
    return found == nullptr || found->check == nullptr || argument.empty() ? Result<void>() : found->check(argument);
}

}  // namespace loyal::replica
