#include "tests/unit/consensus/adversary.h"

#include <algorithm>

#include "tests/unit/consensus/state_trouble.h"

namespace loyal::consensus::test {
namespace {

class Run {
 public:
    Run(const Chaos& chaos, std::uint64_t seed)
        : chaos_(chaos), random_(seed), cluster_(shape(chaos)), quorum_(cluster_.membership.quorum()) {
        for (std::size_t i = 0; i < chaos.n; ++i) {
            (cluster_.shape.traitors.contains(i) ? traitors_ : honest_).push_back(i);
        }
        luck_ = std::vector<double>{0.5, 0.7, 0.9}.at(below(3));
    }

    Verdict go() {
        Verdict verdict;
        try {
            for (int i = 0; i < chaos_.views; ++i) {
                play_view();
                change_view();
                if (amnesiacs() != 0 && chance(0.6)) {
                    calm();
                }
            }
            cluster_.check_agreement();
            verdict.live = !chaos_.must_recover || recovers(verdict);
            cluster_.check_agreement();
        } catch (const TestCluster::Unsafe& unsafe) {
            verdict.safe = false;
            verdict.why = unsafe.what();
        }
        for (const std::size_t replica : honest_) {
            const Status status = cluster_.status(replica);
            verdict.height = std::max(verdict.height, status.committed.height.value);
            verdict.view = std::max(verdict.view, status.entered.value);
            if (status.halted) {
                verdict.live = false;
                verdict.why = "R" + std::to_string(replica) + " halted: " + status.halt_reason;
            }
        }
        verdict.losses = losses_;
        verdict.recovered = losses_ - amnesiacs();
        verdict.transfers = trouble_.transfers();
        if (chaos_.afterwards) {
            chaos_.afterwards(cluster_);
        }
        return verdict;
    }

 private:
    static Shape shape(const Chaos& chaos) {
        Shape made;
        made.n = chaos.n;
        made.fault_model = chaos.fault_model;
        made.window = chaos.window;
        made.rules_off = chaos.rules_off;
        made.checkpoint_interval = chaos.checkpoint_interval;
        made.tick_ms = 250;
        const Quorum quorum = Quorum::of(chaos.fault_model, chaos.n);
        for (std::size_t i = 0; i < chaos.traitors.value_or(quorum.fb); ++i) {
            made.traitors.insert(chaos.n - 1 - i);
        }
        made.tune = [](Options& options) { options.recovery_rotation_ms = 1'000; };
        return made;
    }

    std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }
    bool chance(double probability) { return static_cast<double>(random_() % 10'000) < probability * 10'000; }
    template <class T>
    const T& pick(const std::vector<T>& from) {
        return from[below(from.size())];
    }

    // ---- Network

    void deliver_now() {
        for (int round = 0; round < 2; ++round) {
            std::vector<Packet> now;
            now.swap(cluster_.bag);
            std::shuffle(now.begin(), now.end(), random_);
            for (Packet& packet : now) {
                // A traitor that leads keeps its victims from comparing notes, as far as the network is its friend.
                const bool inconvenient = led_by_traitor() && is<Fetch>(packet) && chance(0.8);
                if (inconvenient || cluster_.shape.traitors.contains(packet.to.value)) {
                    continue;
                }
                if (chance(luck_)) {
                    cluster_.inject(packet.from.value, packet.to.value, packet.message);
                } else if (chance(0.5)) {
                    cluster_.bag.push_back(std::move(packet));
                }
            }
        }
        if (!cluster_.history.empty() && chance(0.4)) {  // late, or once more
            const Packet packet = cluster_.history[below(cluster_.history.size())];
            if (!cluster_.shape.traitors.contains(packet.to.value)) {
                cluster_.inject(packet.from.value, packet.to.value, packet.message);
            }
        }
    }

    void maybe_restart(double probability) {
        if (!chance(probability)) {
            return;
        }
        restart(pick(honest_));
    }

    [[nodiscard]] std::uint64_t amnesiacs() const {
        return static_cast<std::uint64_t>(std::count_if(
            honest_.begin(), honest_.end(), [&](std::size_t replica) { return cluster_.status(replica).amnesiac; }));
    }

    void restart(std::size_t victim) {
        const bool amnesiac = cluster_.status(victim).amnesiac;
        const bool may_lose = chaos_.losses_at_once != 0 && (amnesiac || amnesiacs() < chaos_.losses_at_once);
        if (may_lose && chance(0.4)) {
            losses_ += amnesiac ? 0 : 1;
            cluster_.lose_disk(victim);
        } else {
            cluster_.restart(victim);
        }
        cluster_.set_clock(victim, cluster_.wall_ms);
    }

    // A disk that is slow for a round, and sometimes loses what was under way, with the process.
    void deliver_some() {
        if (!chance(0.2)) {
            deliver_now();
            return;
        }
        const std::size_t victim = pick(honest_);
        TestCluster::Replica& slow = cluster_.replicas[victim];
        slow.auto_persist = false;
        deliver_now();
        for (std::size_t writes = below(3); writes > 0; --writes) {
            cluster_.persist_one(victim);
        }
        slow.auto_persist = true;
        if (chance(0.5)) {
            restart(victim);
        }
        while (!slow.unsynced.empty()) {
            cluster_.persist_one(victim);
        }
        cluster_.end_batch(victim);
    }

    void time_passes() {
        cluster_.wall_ms += cluster_.tick_ms;
        for (const std::size_t replica : honest_) {
            cluster_.set_clock(replica, cluster_.wall_ms);
            cluster_.tick(replica);
        }
    }

    // ---- The traitors

    void learn_blocks() {
        for (; seen_ < cluster_.history.size(); ++seen_) {
            const Packet& packet = cluster_.history[seen_];
            if (const auto* propose = std::get_if<Propose>(&packet.message)) {
                blocks_.emplace(propose->block->id, propose->block);
            } else if (const auto* vote = std::get_if<Vote>(&packet.message)) {
                votes_[vote->view].push_back(*vote);
            } else if (const auto* change = std::get_if<ViewChange>(&packet.message)) {
                changes_[change->new_view].insert_or_assign(change->voter, *change);
                if (change->certificate) {
                    certificates_.push_back(*change->certificate);
                }
            }
        }
    }

    [[nodiscard]] BlockPtr known(const crypto::Digest& id) const {
        const auto found = blocks_.find(id);
        return found == blocks_.end() ? nullptr : found->second;
    }

    // A certificate for some block below some head that was voted for in `view`, with the traitors' help, if the votes
    // that ever left honest replicas allow it.
    std::optional<Certificate> forge(View view, CertKind kind = CertKind::prepare) {
        const std::vector<Vote>& votes = votes_[view];
        if (votes.empty()) {
            return std::nullopt;
        }
        const BlockRef top = pick(votes).prep;
        std::vector<BlockPtr> path;  // downwards from the head
        for (BlockPtr at = known(top.id); at != nullptr && path.size() <= chaos_.window;
             at = known(at->header.parent)) {
            path.push_back(at);
        }
        if (path.empty()) {
            return std::nullopt;
        }
        path.resize(1 + below(path.size()));
        std::reverse(path.begin(), path.end());
        Certificate made;
        made.kind = kind;
        made.view = view;
        made.target = path.front()->header;
        for (std::size_t i = 1; i < path.size(); ++i) {
            made.path.push_back(path[i]->header);
        }
        std::set<ReplicaId> voters;
        for (const Vote& vote : votes) {
            const bool on_path =
                std::any_of(path.begin(), path.end(), [&](const BlockPtr& block) { return block->ref() == vote.prep; });
            if (on_path && voters.insert(vote.voter).second) {
                made.votes.push_back(vote);
            }
        }
        for (const std::size_t traitor : traitors_) {
            made.votes.push_back(cluster_.vote(traitor, view, path.back()->ref()));
        }
        return cluster_.verifier->check_certificate(made) ? std::optional(made) : std::nullopt;
    }

    ViewChange lie(std::size_t traitor, View view) {
        std::vector<Certificate> usable;
        for (const Certificate& certificate : certificates_) {
            if (certificate.view < view) {
                usable.push_back(certificate);
            }
        }
        for (int attempt = 0; attempt < 4; ++attempt) {
            if (auto forged = forge(View(below(view.value))); forged) {
                usable.push_back(std::move(*forged));
            }
        }
        const Prepared nothing{View(0), cluster_.genesis()};
        if (usable.empty() || chance(0.4)) {
            return cluster_.view_change(traitor, view, genesis_lock_of(cluster_), nothing);
        }
        const Certificate& certificate = pick(usable);
        const Lock lock{LockView(certificate.view),
                        {certificate.target.height, header_id(cluster_.membership.context, certificate.target)}};
        return cluster_.view_change(traitor, view, lock, nothing, certificate);
    }

    void traitors_propose(View view) {
        for (const std::size_t replica : honest_) {
            const Status status = cluster_.status(replica);
            if (status.entered != view || status.promised != view || !chance(luck_)) {
                continue;
            }
            const BlockPtr parent = known(status.prep.id);
            if (parent == nullptr && status.prep.height.value != 0) {
                continue;
            }
            const std::uint64_t height = status.prep.height.value + 1;
            const auto& digests = cluster_.replicas[replica].digests;
            const std::uint64_t digest_height = height > chaos_.window ? height - chaos_.window : 0;
            if (digest_height >= digests.size()) {
                continue;
            }
            const BlockPtr block = cluster_.block(leader_of(view, chaos_.n).value, view, status.prep,
                                                  parent == nullptr ? Hlc() : parent->header.hlc,
                                                  (chance(0.5) ? "p" : "q") + std::to_string(view.value),
                                                  digests[digest_height], trouble_.claim(replica, status.prep));
            blocks_.emplace(block->id, block);
            cluster_.inject(leader_of(view, chaos_.n).value, replica, Propose{block, Height()});
        }
    }

    void traitors_vote() {
        for (const std::size_t replica : honest_) {
            const Status status = cluster_.status(replica);
            if (status.prep.height.value == 0 || !chance(0.8)) {
                continue;
            }
            for (const std::size_t traitor : traitors_) {
                const BlockRef commit = chance(0.5) ? status.prep : BlockRef{};
                cluster_.inject(traitor, replica, cluster_.vote(traitor, status.entered, status.prep, commit));
            }
        }
    }

    // NEWVIEWs of a traitor for `view`, perhaps another one for each replica.
    void traitors_lead(View view) {
        const std::size_t leader = leader_of(view, chaos_.n).value;
        std::optional<NewView> message;
        for (const std::size_t replica : honest_) {
            if (!message || chance(0.5)) {
                message = make_new_view(leader, view);
            }
            if (message && chance(0.85)) {
                cluster_.inject(leader, replica, *message);
            }
        }
    }

    std::optional<NewView> make_new_view(std::size_t leader, View view) {
        std::vector<ViewChange> all;
        for (const std::size_t traitor : traitors_) {
            all.push_back(lie(traitor, view));
            if (chance(0.3)) {
                all.push_back(all.back());
            }
        }
        std::vector<ViewChange> others;
        for (const auto& [voter, change] : changes_[view]) {
            others.push_back(change);
        }
        std::shuffle(others.begin(), others.end(), random_);
        for (ViewChange& change : others) {
            if (all.size() < quorum_.q) {
                all.push_back(std::move(change));
            }
        }
        const auto base = select_base(all, RuleSet(chaos_.rules_off));
        if (!base) {
            return std::nullopt;
        }
        std::optional<Certificate> certificate;
        for (const ViewChange& change : all) {
            if (change.lock == *base && change.certificate) {
                certificate = change.certificate;
            }
        }
        return cluster_.new_view(leader, view, all, *base, certificate);
    }

    [[nodiscard]] bool led_by_traitor() const {
        return cluster_.shape.traitors.contains(leader_of(highest(), chaos_.n).value);
    }

    // ---- Rounds

    View highest() const {
        View view;
        for (const std::size_t replica : honest_) {
            view = std::max(view, cluster_.status(replica).entered);
        }
        return view;
    }

    void play_view() {
        const View view = highest();
        const std::size_t leader = leader_of(view, chaos_.n).value;
        const std::size_t turns = 1 + below(chaos_.turns);
        for (std::size_t turn = 0; turn < turns; ++turn) {
            learn_blocks();
            if (cluster_.shape.traitors.contains(leader)) {
                traitors_propose(view);
            } else {
                ++operations_;
                cluster_.submit(leader, "s" + std::to_string(operations_), operations_);
            }
            for (std::size_t rounds = 1 + below(3); rounds > 0; --rounds) {
                deliver_some();
                traitors_vote();
                learn_blocks();
                check_locks();
                trouble_.disturb();
            }
            maybe_restart(0.15);
            check_everything();
        }
    }

    void change_view() {
        const View next = highest().next();
        for (int tick = 0; tick < 12 && highest() < next; ++tick) {
            time_passes();
            learn_blocks();
            for (const std::size_t traitor : traitors_) {
                for (const std::size_t replica : honest_) {
                    if (chance(0.3)) {
                        cluster_.inject(traitor, replica, lie(traitor, next));
                    }
                }
            }
            deliver_some();
            traitors_vote();
            maybe_restart(0.03);
            learn_blocks();
            if (cluster_.shape.traitors.contains(leader_of(next, chaos_.n).value)) {
                traitors_lead(next);
            }
        }
        check_everything();
    }

    // The network is well and the traitors help, so that an amnesiac may come back before the next trouble. What they
    // prove to it is as old as can be.
    void calm() {
        const std::uint64_t before = amnesiacs();
        for (int tick = 0; tick < 60 && amnesiacs() == before; ++tick) {
            time_passes();
            View next;  // what the others want
            for (const std::size_t replica : honest_) {
                next = std::max(next, cluster_.status(replica).promised);
            }
            for (const Packet& packet : std::vector<Packet>(cluster_.bag)) {
                const auto* asked = std::get_if<Recover>(&packet.message);
                if (asked != nullptr && cluster_.shape.traitors.contains(packet.to.value)) {
                    cluster_.inject(packet.to.value, packet.from.value,
                                    RecoverAck{asked->nonce, View(0), std::nullopt, {}});
                }
            }
            const bool wanted = next > highest();
            for (const std::size_t traitor : wanted ? traitors_ : std::vector<std::size_t>()) {
                const ViewChange change = lie(traitor, next);
                for (const std::size_t replica : honest_) {
                    cluster_.inject(traitor, replica, change);
                }
            }
            cluster_.deliver([&](const Packet& packet) { return !cluster_.shape.traitors.contains(packet.to.value); });
            cluster_.bag.clear();
            learn_blocks();
            traitors_vote();
            if (wanted && cluster_.shape.traitors.contains(leader_of(next, chaos_.n).value)) {
                traitors_lead(next);
            }
            check_locks();
        }
        check_everything();
    }

    void check_everything() {
        cluster_.check_agreement();
        trouble_.check();
        check_locks();
        check_reads();
    }

    // Lemma 1: the certificates of one view are for blocks of one chain, so locks of equal rank are equal.
    void check_locks() {
        for (const std::size_t replica : honest_) {
            const Lock lock = cluster_.status(replica).lock;
            const auto [known_lock, fresh] = locks_.emplace(lock.rank(), lock.block.id);
            if (!fresh && known_lock->second != lock.block.id) {
                throw TestCluster::Unsafe("two prepare certificates of one view and height");
            }
        }
    }

    // Reads that a client would accept now: an old state from two honest replicas and R3 (rule R3, A1), although some
    // honest replica has executed, and so perhaps acknowledged, more.
    void check_reads() const {
        if (chaos_.n != 4 || chaos_.fault_model != FaultModel::byzantine) {
            return;
        }
        Height done;
        for (const std::size_t replica : honest_) {
            done = std::max(done, cluster_.status(replica).executed);
        }
        for (std::size_t a = 0; a < honest_.size(); ++a) {
            for (std::size_t b = 0; b < a; ++b) {
                const Core& first = *cluster_.replicas[honest_[a]].core;
                const Core& second = *cluster_.replicas[honest_[b]].core;
                const bool ready = first.serving() && second.serving() &&
                                   first.is_executed(first.read_target().block) &&
                                   second.is_executed(second.read_target().block);
                if (ready && first.status().executed == second.status().executed && first.status().executed < done) {
                    throw TestCluster::Unsafe("a stale read would be accepted");
                }
            }
        }
    }

    // The traitors fall silent and the network is well: within a bound everybody executes one more operation.
    bool recovers(Verdict& verdict) {
        cluster_.bag.clear();
        const Members alive(honest_.begin(), honest_.end());
        for (const std::size_t replica : honest_) {
            cluster_.submit(replica, "final", 1'000'000);
        }
        for (int ticks = 0; ticks < 2000; ++ticks) {
            cluster_.run(1, alive);
            if (chaos_.checkpoint_interval != 0) {
                trouble_.heal();
                trouble_.check();
            }
            if (std::all_of(honest_.begin(), honest_.end(),
                            [&](std::size_t replica) { return cluster_.executed_text(replica, "final"); })) {
                return true;
            }
        }
        for (const std::size_t replica : honest_) {
            const Status status = cluster_.status(replica);
            verdict.why += " R" + std::to_string(replica) + ": entered " + std::to_string(status.entered.value) +
                           " promised " + std::to_string(status.promised.value) + " prep " +
                           std::to_string(status.prep.height.value) + " committed " +
                           std::to_string(status.committed.height.value) + " executed " +
                           std::to_string(status.executed.value);
        }
        return false;
    }

    const Chaos chaos_;
    std::mt19937_64 random_;
    TestCluster cluster_;
    const Quorum quorum_;
    std::vector<std::size_t> honest_;
    std::vector<std::size_t> traitors_;
    StateTrouble trouble_{cluster_, random_, honest_};
    double luck_ = 0.7;
    std::uint64_t operations_ = 0;
    std::uint64_t losses_ = 0;
    std::size_t seen_ = 0;
    std::map<crypto::Digest, BlockPtr> blocks_;
    std::map<View, std::vector<Vote>> votes_;
    std::map<View, std::map<ReplicaId, ViewChange>> changes_;
    std::vector<Certificate> certificates_;
    std::map<std::pair<std::int64_t, std::uint64_t>, crypto::Digest> locks_;  // every lock that was seen
};

}  // namespace

Verdict run_chaos(const Chaos& chaos, std::uint64_t seed) {
    return Run(chaos, seed).go();
}

}  // namespace loyal::consensus::test
