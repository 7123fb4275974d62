#include "tests/unit/consensus/test_cluster.h"

#include <algorithm>
#include <utility>

#include "config/limits.h"

namespace loyal::consensus::test {
namespace {

crypto::Digest next_digest(const crypto::Digest& last, const Block& block) {
    return crypto::Hasher("exec").update(last.view()).update(block.id.view()).finish();
}

}  // namespace

TestCluster::TestCluster(Shape given) : shape(std::move(given)) {
    membership.context = {crypto::digest_of("test", view_of("cluster")), Epoch(0)};
    membership.fault_model = shape.fault_model;
    membership.window = shape.window;
    membership.checkpoint_interval = shape.checkpoint_interval;
    for (std::size_t i = 0; i < shape.n; ++i) {
        signers.push_back(std::make_unique<sim::SimSigner>(i + 1));
        signatures.learn(*signers.back());
        membership.replicas.push_back(signers.back()->public_key());
    }
    client = std::make_unique<sim::SimSigner>(1000);
    signatures.learn(*client);
    membership.clients.emplace(client_id_of(client->public_key()), client->public_key());
    verifier = std::make_unique<MessageVerifier>(membership, signatures, shape.rules_off);
    replicas.resize(shape.n);
    for (std::size_t i = 0; i < shape.n; ++i) {
        if (!shape.traitors.contains(i)) {
            make_core(i, Recovered{});
        }
    }
}

void TestCluster::make_core(std::size_t replica, const Recovered& recovered) {
    Options options;
    options.self = ReplicaId(static_cast<std::uint16_t>(replica));
    options.tick_ms = tick_ms;
    options.rules_off = shape.rules_off;
    if (shape.tune) {
        shape.tune(options);
    }
    replicas[replica].core = std::make_unique<Core>(options, *verifier, *signers[replica], recovered);
    std::vector<Evidence> known;
    for (const LogRecord& record : replicas[replica].log) {
        if (const auto* kept = std::get_if<EvidenceRecord>(&record)) {
            known.push_back(kept->evidence);
        }
    }
    replicas[replica].core->remember(known);
    step(replica, ClockReading{wall_ms});
    Effects effects;
    replicas[replica].core->start(effects);
    apply(replica, std::move(effects));
}

void TestCluster::step(std::size_t replica, const Input& input) {
    if (replicas[replica].core == nullptr) {
        return;
    }
    Effects effects;
    replicas[replica].core->step(input, effects);
    replicas[replica].core->check_invariants();
    apply(replica, std::move(effects));
}

void TestCluster::apply(std::size_t replica, Effects effects) {
    Replica& self = replicas[replica];
    for (Effect& effect : effects) {
        if (auto* persist = std::get_if<Persist>(&effect)) {
            self.unsynced.push_back(std::move(*persist));
        } else if (auto* send = std::get_if<Send>(&effect)) {
            self.gated.push_back(std::move(*send));
        } else if (auto* execute = std::get_if<Execute>(&effect)) {
            self.to_execute.push_back(execute->block);
        } else if (auto* accuse = std::get_if<Accuse>(&effect)) {
            self.accusations.push_back(std::move(*accuse));
        } else if (auto* trace = std::get_if<Trace>(&effect)) {
            self.traces.push_back(trace->text);
        } else if (auto* rejected = std::get_if<Rejected>(&effect)) {
            self.rejections.push_back(rejected->why);
        } else if (auto* wanted = std::get_if<ServeCommitted>(&effect)) {
            self.gated.push_back(Send{wanted->to, serve(replica, *wanted), PersistId()});
        } else {
            apply_checkpoint(replica, effect);
        }
    }
    release(replica);
    if (self.auto_persist) {
        while (!self.unsynced.empty()) {
            persist_one(replica);
        }
    }
    if (self.auto_execute) {
        execute_all(replica);
    }
}

void TestCluster::release(std::size_t replica) {
    Replica& self = replicas[replica];
    std::vector<Send> waiting;
    for (Send& send : self.gated) {
        if (send.after > self.durable) {
            waiting.push_back(std::move(send));
            continue;
        }
        for (std::size_t to = 0; to < shape.n; ++to) {
            if (to == replica || (send.to && send.to->value != to)) {
                continue;
            }
            const Packet packet{ReplicaId(static_cast<std::uint16_t>(replica)),
                                ReplicaId(static_cast<std::uint16_t>(to)), send.message};
            history.push_back(packet);
            bag.push_back(packet);
        }
    }
    self.gated = std::move(waiting);
}

void TestCluster::persist_one(std::size_t replica) {
    Replica& self = replicas[replica];
    if (self.unsynced.empty()) {
        return;
    }
    const Persist persist = std::move(self.unsynced.front());
    self.unsynced.pop_front();
    self.log.insert(self.log.end(), persist.records.begin(), persist.records.end());
    self.durable = persist.id;
    step(replica, Persisted{persist.id});
    release(replica);
}

void TestCluster::execute_all(std::size_t replica) {
    Replica& self = replicas[replica];
    while (!self.to_execute.empty()) {
        const BlockPtr block = self.to_execute.front();
        self.to_execute.pop_front();
        self.executed.push_back(block);
        const auto [known, fresh] = self.executed_ever.emplace(block->header.height, block);
        if (!fresh && known->second->id != block->id) {
            throw Unsafe("one replica executed two blocks at a height");
        }
        self.digests.push_back(next_digest(self.digests.back(), *block));
        const std::optional<Hlc> due = shape.due ? shape.due(block->header) : std::nullopt;
        step(replica, Executed{block->header.height, self.digests.back(), due});
        note_executed(replica, *block);
    }
}

void TestCluster::set_clock(std::size_t replica, std::uint64_t ms) {
    step(replica, ClockReading{ms});
}

void TestCluster::end_batch(std::size_t replica) {
    step(replica, EndOfBatch{});
}

void TestCluster::submit(std::size_t replica, const std::string& text, std::uint64_t seq, std::uint64_t session) {
    auto verified = verifier->verify_envelope(envelope(text, seq, session), std::nullopt);
    step(replica, Submitted{std::move(*verified)});
    end_batch(replica);
}

void TestCluster::tick(std::size_t replica, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        step(replica, Tick{});
        end_batch(replica);
    }
}

void TestCluster::tick_all(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        wall_ms += tick_ms;
        for (std::size_t replica = 0; replica < shape.n; ++replica) {
            set_clock(replica, wall_ms);
            tick(replica);
        }
    }
}

void TestCluster::deliver(const Filter& filter) {
    for (bool moved = true; moved;) {
        moved = false;
        std::vector<Packet> now;
        now.swap(bag);
        std::vector<Packet> kept;
        for (Packet& packet : now) {
            if (!filter(packet)) {
                kept.push_back(std::move(packet));
                continue;
            }
            moved = true;
            inject(packet.from.value, packet.to.value, packet.message);
        }
        bag.insert(bag.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
    }
}

void TestCluster::drop(const Filter& filter) {
    std::erase_if(bag, filter);
}

bool TestCluster::inject(std::size_t from, std::size_t to, const PeerMessage& message) {
    injected.push_back(message);
    auto verified = verifier->verify(message, ReplicaId(static_cast<std::uint16_t>(from)));
    if (!verified) {
        if (const auto proof = evidence_in_refused(*verifier, message); proof && replicas[to].core != nullptr) {
            Effects effects;
            replicas[to].core->accuse(*proof, effects);
            apply(to, std::move(effects));
        }
        return false;
    }
    step(to, Received{ReplicaId(static_cast<std::uint16_t>(from)), std::move(*verified)});
    end_batch(to);
    return true;
}

void TestCluster::run(std::size_t ticks, const std::set<std::size_t>& members) {
    const auto among = [&](const Packet& packet) {
        return members.contains(packet.from.value) && members.contains(packet.to.value);
    };
    deliver(among);
    for (std::size_t i = 0; i < ticks; ++i) {
        wall_ms += tick_ms;
        for (const std::size_t member : members) {
            set_clock(member, wall_ms);
            tick(member);
        }
        drop([&](const Packet& packet) { return !among(packet); });
        deliver(among);
    }
}

void TestCluster::run(std::size_t ticks) {
    std::set<std::size_t> everybody;
    for (std::size_t i = 0; i < shape.n; ++i) {
        everybody.insert(i);
    }
    run(ticks, everybody);
}

void TestCluster::crash(std::size_t replica) {
    Replica& self = replicas[replica];
    self.core.reset();
    self.unsynced.clear();
    self.gated.clear();
    self.to_execute.clear();
    self.roots_due.clear();
}

void TestCluster::restart(std::size_t replica) {
    Replica& self = replicas[replica];
    crash(replica);
    const Recovered recovered = recover(replica);
    self.executed.clear();
    self.digests.resize(self.base.height.value + 1);
    self.roots.erase(self.roots.upper_bound(self.base.height), self.roots.end());
    self.durable = PersistId();
    self.votes_lost.clear();
    make_core(replica, recovered);
}

// The state store is volatile here above Replica::base: everything is executed again from the log.
Recovered TestCluster::recover(std::size_t replica) const {
    Recovered recovered;
    recovered.votes_lost = replicas[replica].votes_lost;
    std::map<crypto::Digest, BlockPtr> blocks;
    std::map<View, NewView> new_views;
    std::map<View, ViewChange> changes;
    std::vector<BlockRef> commits;
    for (const LogRecord& record : replicas[replica].log) {
        recovered.fresh = false;
        if (const auto* state = std::get_if<VotingState>(&record)) {
            recovered.voting = *state;
        } else if (const auto* block = std::get_if<BlockRecord>(&record)) {
            blocks.emplace(block->block->id, block->block);
        } else if (const auto* lock = std::get_if<LockRecord>(&record)) {
            recovered.lock_certificate = lock->certificate;
        } else if (const auto* view = std::get_if<NewViewRecord>(&record)) {
            new_views.insert_or_assign(view->message.view, view->message);
        } else if (const auto* change = std::get_if<ViewChangeRecord>(&record)) {
            changes.insert_or_assign(change->message.new_view, change->message);
        } else if (const auto* commit = std::get_if<CommitRecord>(&record)) {
            commits.push_back(commit->block);
        }
    }
    if (const auto view = new_views.find(recovered.voting.entered); view != new_views.end()) {
        recovered.new_view = view->second;
    }
    if (const auto change = changes.find(recovered.voting.promised); change != changes.end()) {
        recovered.view_change = change->second;
    }
    recover_state(replica, recovered);
    // The highest whose whole chain above the state is here.
    for (const BlockRef& commit : commits) {
        recovered.known_committed = std::max(recovered.known_committed, commit.height);
        BlockRef at = commit;
        for (auto block = blocks.find(at.id); at.height > recovered.executed && block != blocks.end();
             block = blocks.find(at.id)) {
            at = {at.height.minus(1), block->second->header.parent};
        }
        if (at.height <= recovered.executed) {
            recovered.committed = std::max(recovered.committed, commit);
        }
    }
    for (const auto& [id, block] : blocks) {
        const Height height = block->header.height;
        if (height > recovered.executed || height.plus(2 * shape.window) >= recovered.committed.height) {
            recovered.blocks.push_back(block);
        }
    }
    std::sort(recovered.blocks.begin(), recovered.blocks.end(),
              [](const BlockPtr& a, const BlockPtr& b) { return a->header.height < b->header.height; });
    return recovered;
}

Vote TestCluster::vote(std::size_t voter, View view, BlockRef prep, BlockRef com) const {
    Vote made{view, prep, com, ReplicaId(static_cast<std::uint16_t>(voter)), {}};
    made.signature = signers[voter]->sign(signed_bytes(membership.context, SignDomain::vote, vote_content(made)));
    return made;
}

ViewChange TestCluster::view_change(std::size_t voter, View view, Lock lock, Prepared last_prep,
                                    std::optional<Certificate> certificate) const {
    ViewChange made{view, lock, last_prep, ReplicaId(static_cast<std::uint16_t>(voter)), {}, std::move(certificate)};
    made.signature =
        signers[voter]->sign(signed_bytes(membership.context, SignDomain::view_change, view_change_content(made)));
    return made;
}

NewView TestCluster::new_view(std::size_t leader, View view, std::vector<ViewChange> changes, Lock base,
                              std::optional<Certificate> certificate) const {
    for (ViewChange& change : changes) {
        change.certificate.reset();
    }
    NewView made{view, base, std::move(changes), std::move(certificate), ReplicaId(static_cast<std::uint16_t>(leader)),
                 {}};
    made.signature =
        signers[leader]->sign(signed_bytes(membership.context, SignDomain::new_view, new_view_content(made)));
    return made;
}

BlockPtr TestCluster::block(std::size_t leader, View view, const BlockRef& parent, Hlc parent_hlc,
                            const std::string& text, const crypto::Digest& executed_digest,
                            const StateRoot& checkpoint) const {
    auto body = std::make_shared<const Bytes>(make_body({envelope(text)}));
    Header header;
    header.view = view;
    header.height = parent.height.next();
    header.parent = parent.id;
    header.body_root = body_root_of(*body);
    header.body_bytes = static_cast<std::uint32_t>(body->size());
    header.envelopes = 1;
    header.hlc = std::max(Hlc(wall_ms, 0), Hlc(parent_hlc.packed + 1));
    header.executed = header.height.minus(shape.window);
    header.executed_digest = executed_digest;
    header.checkpoint = checkpoint.height;
    header.checkpoint_root = checkpoint.root;
    const crypto::Digest id = header_id(membership.context, header);
    const crypto::Signature signature =
        signers[leader]->sign(signed_bytes(membership.context, SignDomain::propose, id.view()));
    return *make_block(membership.context, header, signature, std::move(body));
}

Envelope TestCluster::envelope(const std::string& text, std::uint64_t seq, std::uint64_t session) const {
    EnvelopeContent content;
    content.key = client->public_key();
    content.session = SessionId(session);
    content.seq0 = Seq(seq);
    content.count = 1;
    content.not_after = Hlc(wall_ms + 600'000, 0);
    content.operations = bytes_of(text);
    return *parse_envelope(std::make_shared<const Bytes>(
        make_envelope(content, membership.context.cluster_id, membership.context.epoch, client.get())));
}

void TestCluster::check_agreement() const {
    std::map<Height, crypto::Digest> agreed;
    const auto compare = [&](const std::map<Height, BlockPtr>& executed_ever) {
        for (const auto& [height, block] : executed_ever) {
            const auto [known, fresh] = agreed.emplace(height, block->id);
            if (!fresh && known->second != block->id) {
                throw Unsafe("two blocks executed at height " + std::to_string(height.value));
            }
        }
    };
    for (const Replica& replica : replicas) {
        compare(replica.executed_ever);
        std::for_each(replica.executed_before_losses.begin(), replica.executed_before_losses.end(), compare);
    }
}

std::optional<ViewChange> TestCluster::last_view_change(std::size_t replica) const {
    for (auto packet = history.rbegin(); packet != history.rend(); ++packet) {
        if (const auto* change = std::get_if<ViewChange>(&packet->message); change && packet->from.value == replica) {
            return *change;
        }
    }
    return std::nullopt;
}

std::vector<Packet> TestCluster::sent_by(std::size_t replica) const {
    std::vector<Packet> found;
    std::copy_if(history.begin(), history.end(), std::back_inserter(found),
                 [&](const Packet& packet) { return packet.from.value == replica; });
    return found;
}

bool TestCluster::executed_text(std::size_t replica, const std::string& text) const {
    for (const auto& [height, block] : replicas[replica].executed_ever) {
        for (const Envelope& in_block : block->envelopes) {
            if (text_of(in_block.operations) == text) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace loyal::consensus::test
