// Random schedules with up to f liars: whatever they say, in whatever order, the client believes nothing but what
// really happened, and once the honest replicas are heard it is done.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>

#include "tests/unit/client/scripted_cluster.h"

namespace loyal::client {
namespace {

using namespace test;
using kvstore::Outcome;
using kvstore::Status;

class LyingWorld {
 public:
    LyingWorld(std::size_t n, std::uint64_t seed)
        : cluster_(n), n_(n), liars_(cluster_.membership.quorum().fb), random_(seed) {}

    void run() {
        cluster_.connect_all();
        for (int step = 0; step < 400; ++step) {
            step_once();
        }
        // Honest replicas are heard, without end; the liars go on.
        for (int round = 0; round < 100 && unfinished(); ++round) {
            take();
            for (std::size_t i = 0; i < envelopes_.size(); ++i) {
                for (std::size_t replica = liars_; replica < n_; ++replica) {
                    answer_honestly(replica, envelopes_[i]);
                }
            }
            for (std::size_t i = 0; i < reads_.size(); ++i) {
                for (std::size_t replica = liars_; replica < n_; ++replica) {
                    answer_read_honestly(replica, reads_[i]);
                }
            }
            lie();
            cluster_.advance(10);
        }
    }

    [[nodiscard]] bool unfinished() const {
        return std::any_of(cluster_.writes.begin(), cluster_.writes.end(), [](const auto& each) { return !each; }) ||
               std::any_of(cluster_.reads.begin(), cluster_.reads.end(), [](const auto& each) { return !each; });
    }
    // Every write is done with the true outcome, every read gave the true value.
    [[nodiscard]] std::string verdict() const {
        for (const auto& write : cluster_.writes) {
            if (!write) {
                return "a write is unanswered";
            }
            if (write->certainty == Certainty::done && write->outcome != truth(write->outcome.seq)) {
                return "a false outcome was believed";
            }
            if (write->certainty == Certainty::not_applied) {
                return "not applied, they made it say: " + write->why;
            }
            if (write->denied) {
                return "denied, they made it say";
            }
        }
        for (const auto& read : cluster_.reads) {
            if (!read) {
                return "a read is unanswered";
            }
            if (read->ok && string_of(read->range.items.at(0).value) != "true") {
                return "a false value was read";
            }
            if (read->denied || read->integrity) {
                return "a read was talked out of it";
            }
        }
        return "";
    }
    [[nodiscard]] std::size_t done() const {
        return static_cast<std::size_t>(
            std::count_if(cluster_.writes.begin(), cluster_.writes.end(),
                          [](const auto& each) { return each && each->certainty == Certainty::done; }));
    }
    [[nodiscard]] std::size_t asked() const { return cluster_.writes.size(); }

 private:
    [[nodiscard]] std::uint64_t any(std::uint64_t below) { return random_() % below; }
    [[nodiscard]] static Outcome truth(Seq seq) {
        return ScriptedCluster::outcome(seq, seq.value % 3 == 0 ? Status::mismatch : Status::ok, 100 + seq.value);
    }

    void take() {
        for (ScriptedCluster::Sent& sent : cluster_.take()) {
            if (const auto* submit = std::get_if<wire::Submit>(&sent.message)) {
                envelopes_.push_back(submit->envelope);
            } else if (const auto* read = std::get_if<wire::Read>(&sent.message)) {
                reads_.push_back(*read);
            }
        }
        // What was settled long ago need not be answered for ever.
        if (envelopes_.size() > 40) {
            envelopes_.erase(envelopes_.begin(), envelopes_.end() - 40);
        }
        if (reads_.size() > 60) {
            reads_.erase(reads_.begin(), reads_.end() - 60);
        }
    }

    void step_once() {
        take();
        switch (any(8)) {
            case 0: cluster_.write(put("k" + std::to_string(any(5)))); break;
            case 1: cluster_.read(key_range("k")); break;
            case 2:
            case 3:
                if (!envelopes_.empty()) {
                    answer_honestly(liars_ + any(n_ - liars_), envelopes_[any(envelopes_.size())]);
                }
                break;
            case 4:
                if (!reads_.empty()) {
                    answer_read_honestly(liars_ + any(n_ - liars_), reads_[any(reads_.size())]);
                }
                break;
            case 5: cluster_.advance(10 * any(3)); break;
            case 6: {
                const std::size_t replica = any(n_);
                cluster_.disconnect(replica);
                cluster_.connect(replica);
                break;
            }
            default: lie(); break;
        }
    }

    void answer_honestly(std::size_t replica, const consensus::Envelope& envelope) {
        for (std::uint16_t i = 0; i < envelope.count; ++i) {
            cluster_.reply(replica, envelope, outcome_of(envelope, envelope.seq0.plus(i)), any(2) == 0);
        }
        cluster_.reply(replica, envelope, outcome_of(envelope, envelope.seq0), true);
    }
    // Ordered reads are envelopes, too: their result is the true value.
    [[nodiscard]] static Outcome outcome_of(const consensus::Envelope& envelope, Seq seq) {
        Outcome outcome = truth(seq);
        const auto operations = kvstore::decode_operations(envelope.operations, envelope.count);
        if (operations && std::holds_alternative<kvstore::Range>((*operations)[seq.value - envelope.seq0.value])) {
            outcome.status = Status::ok;
            outcome.result = ScriptedCluster::value_result("k", "true");
        }
        return outcome;
    }
    void answer_read_honestly(std::size_t replica, const wire::Read& read) {
        cluster_.answer_read(replica, read, ScriptedCluster::value_result("k", "true"), 10 + any(3), 10);
    }

    void lie() {
        for (std::size_t liar = 0; liar < liars_; ++liar) {
            const ReplicaId claimed(static_cast<std::uint16_t>(any(n_)));
            cluster_.deliver(liar, wire::Welcome{claimed, View(any(1'000)), claimed, Hlc(random_())});
            if (!envelopes_.empty()) {
                const consensus::Envelope& envelope = envelopes_[any(envelopes_.size())];
                Outcome lie = truth(envelope.seq0.plus(any(envelope.count)));
                lie.status = static_cast<Status>(any(10));
                lie.height = Height(any(300));
                lie.hlc = Hlc(random_());
                lie.result = ScriptedCluster::value_result("k", "lie");
                cluster_.reply(liar, envelope, lie, any(2) == 0);
                cluster_.refuse(liar, envelope, static_cast<wire::RefusalCode>(1 + any(9)));
                wire::Reply forged{claimed, envelope.session, View(any(9)), Hlc(random_()), {}};
                forged.outcomes.push_back({envelope.seq0, lie, kvstore::outcome_digest(truth(envelope.seq0))});
                cluster_.deliver(liar, forged);
            }
            if (!reads_.empty()) {
                const wire::Read& read = reads_[any(reads_.size())];
                if (any(3) == 0) {
                    cluster_.refuse_read(liar, read, wire::RefusalCode::denied);
                } else {
                    cluster_.answer_read(liar, read, ScriptedCluster::value_result("k", "lie"), any(1'000), any(1'000));
                }
            }
        }
    }

    ScriptedCluster cluster_;
    std::size_t n_;
    std::size_t liars_;
    std::mt19937_64 random_;
    std::vector<consensus::Envelope> envelopes_;
    std::vector<wire::Read> reads_;
};

RC_GTEST_PROP(SessionLiars, up_to_f_of_them_change_nothing, ()) {
    const auto n = *rc::gen::element<std::size_t>(4, 5, 7);
    LyingWorld world(n, *rc::gen::noShrink(rc::gen::arbitrary<std::uint64_t>()));
    world.run();
    const std::string verdict = world.verdict();
    RC_ASSERT(verdict == "");
    RC_ASSERT(world.done() * 10 >= world.asked() * 9);
}

}  // namespace
}  // namespace loyal::client
