//! Codecs: G.711 (ITU-T G.711).
