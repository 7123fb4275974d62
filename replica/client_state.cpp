// Answers to clients about checkpoints and the state at them, for backups. Read in the background, out of a budget of
// their own; only for administrators, because the state holds everybody's sessions.
#include <utility>

#include "replica/replica_state.h"

namespace loyal::replica {

void Replica::State::serve_client(LinkId link, const consensus::ClientId& client, ServeClient task) {
    const std::uint64_t nonce = task.nonce;
    if (!clients.is_operator(client)) {
        answer_operator(link, wire::Refusal{self,
                                            wire::RefusalCode::not_allowed,
                                            true,
                                            {},
                                            nonce,
                                            "only a client with the admin right may take a backup"});
    } else if (!background->submit_client(std::move(task))) {
        answer_operator(
            link,
            wire::Refusal{
                self, wire::RefusalCode::busy, true, {}, nonce, "too many parts of the state are asked for at once"});
    }
}

void Replica::State::prove_to_client(LinkId link, const consensus::ClientId& client, wire::StateProofAsk ask) {
    const kvstore::ClientRecord* record = clients.clients().find(client);
    const bool may_read = record != nullptr && kvstore::may(*record, {ask.key, std::nullopt}, kvstore::right_read);
    if (may_read && background->submit_client({link, ask.nonce, std::nullopt, std::move(ask.key)})) {
        return;
    }
    answer_operator(link, wire::Refusal{self,
                                        may_read ? wire::RefusalCode::busy : wire::RefusalCode::denied,
                                        true,
                                        {},
                                        ask.nonce,
                                        may_read ? "too many parts of the state are asked for at once"
                                                 : "this client has no right to read that key"});
}

void Replica::State::on_client_answer(AnswerClient answer) {
    if (auto* chunk = std::get_if<consensus::StateChunk>(&answer.answer)) {
        answer_operator(answer.link, wire::StateAnswer{answer.nonce, std::move(*chunk)});
    } else if (auto* proof = std::get_if<std::optional<consensus::CheckpointProof>>(&answer.answer)) {
        answer_operator(answer.link, wire::CheckpointAnswer{answer.nonce, std::move(*proof), node.executed_height()});
    } else if (auto* state = std::get_if<Result<kvstore::StateProof>>(&answer.answer)) {
        node.client_state_proof(answer.link, answer.nonce, std::move(*state));
    }
}

}  // namespace loyal::replica
